/* GradStreamer: inside of a model, and how what strangers wrote is read
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradmodel.h"
#include "gradsnapshot.h"
#include "gradsafetensors.h"

#include <sys/stat.h>

G_BEGIN_DECLS

struct _GradModel
{
  GObject parent;

  gchar *location;              /* NULL without a file, as are the next two */
  GradSafetensors *file;
  struct stat info;             /* which file it is; taken before it was opened */

  gchar *fragment;
  GradModelInput input;
  GStrv class_names;            /* NULL when unknown */
  guint64 steps;
};

/* As grad_model_open(), from bytes; the location stands for the file in messages. What has GRAD_API here is for tests. */
GRAD_API GradModel *grad_model_parse (GBytes * bytes, const gchar * location, GError ** error);

/* Makes layers from "factory name=value … ! factory …": (transfer full) (element-type GradLayer), in order of the flow,
 * each with its param-prefix.
 * GRAD_ERROR_FILE names the byte and what is wrong there. */
GPtrArray *grad_fragment_create_layers (const gchar * fragment, GError ** error);

/* "factory name=value …" with the properties that say what the layer is, as far as they differ from defaults */
gchar *grad_model_describe_layer (GstElement * element);
/* The elements that a pad gets its data from, through the walls of bins, in order of the flow, along each one's first sink pad:
 * (transfer full) (element-type GstElement) */
GRAD_API GPtrArray *grad_model_find_upstream (GstPad * sinkpad);

/* "96x96": what the network gets to see; NULL when it is not said */
gchar *grad_model_describe_size (const GstStructure * dataset);

/* Names with a separator between them, white space around them removed; GRAD_ERROR_FILE begins with where. */
GStrv grad_class_names_split (const gchar * text, gsize size, const gchar * separator,
    const gchar * where, GError ** error);

/* Whether it is UTF-8 that does no harm to a terminal: without control characters. */
gboolean grad_text_is_printable (const gchar * text);

/* In gradmodelfile.c */
GradSnapshot *grad_model_take_snapshot (GradNetwork * network, const gchar * fragment,
    const GstStructure * dataset, GHashTable * training, guint64 seed, GError ** error);

G_END_DECLS
