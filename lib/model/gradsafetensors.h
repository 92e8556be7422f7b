/* GradStreamer: safetensors files
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../tensor/gradshape.h"

G_BEGIN_DECLS

#define GRAD_TYPE_SAFETENSORS (grad_safetensors_get_type ())
GRAD_API G_DECLARE_FINAL_TYPE (GradSafetensors, grad_safetensors, GRAD, SAFETENSORS, GObject)

/**
 * GradSafetensorsEntry:
 * @name: name of the tensor
 * @dtype: type as the file spells it: "F32", "I64", "F16", "BF16", …
 * @rank: number of dimensions, 0 for a scalar
 * @dims: sizes, outermost first
 * @data: row-major little-endian values
 * @size: bytes of @data
 */
typedef struct
{
  const gchar *name;
  const gchar *dtype;
  guint rank;
  gint64 dims[8];
  gconstpointer data;
  gsize size;
} GradSafetensorsEntry;

/* Reading: the file is mapped and checked whole before anything is believed. */
GRAD_API GradSafetensors *grad_safetensors_open (const gchar * location, GError ** error);
GRAD_API guint grad_safetensors_get_n_entries (GradSafetensors * file);
GRAD_API const GradSafetensorsEntry *grad_safetensors_get_entry (GradSafetensors * file,
    guint index);
GRAD_API const GradSafetensorsEntry *grad_safetensors_find (GradSafetensors * file,
    const gchar * name);
GRAD_API const gchar *grad_safetensors_get_metadata (GradSafetensors * file, const gchar * key);
GRAD_API GStrv grad_safetensors_list_metadata (GradSafetensors * file);

/* Writing: to a temporary file beside location, synced, then renamed over it. metadata maps
 * strings to strings and may be NULL. */
GRAD_API gboolean grad_safetensors_write (const gchar * location,
    const GradSafetensorsEntry * entries, guint n_entries, GHashTable * metadata,
    GError ** error);

G_END_DECLS
