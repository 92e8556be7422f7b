/* GradStreamer: safetensors files that are in memory
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradsafetensors.h"

G_BEGIN_DECLS

/* As grad_safetensors_open(), from bytes; name stands for the file in messages. */
GradSafetensors *grad_safetensors_parse (GBytes * bytes, const gchar * name, GError ** error);

/* The word for a type as it is spelled in a file (static) and its size; NULL when unknown. */
const gchar *grad_safetensors_dtype (const gchar * dtype, gsize * size);

/* Bytes of a tensor; FALSE when they cannot be counted. */
gboolean grad_safetensors_size (const GradSafetensorsEntry * entry, gsize * size);

G_END_DECLS
