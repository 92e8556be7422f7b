/* GradStreamer: the folder of a training: all that is to be known of it later
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   launch.txt          the launch string, without variables: gst-launch-1.0 takes it
 *   environment.json    versions, processor, device, precision, threads, seed, date
 *   log.jsonl           the log of the optimizer (log-location), model.safetensors its model (location)
 *   evaluation.txt      accuracy, precision and recall, confusion matrix of the last pass over test pictures
 *   curves.png, confusion.png, sheet.png    see gradpictures.h
 *
 * Further networks have their model-name in the names of their files: model-NAME.safetensors. */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

typedef struct _GradRunFolder GradRunFolder;

/* Makes the folder and lets the pipeline, which is in NULL, write to it. A folder that has something in it is refused, unless an optimizer
 * is to resume what it finds there. */
GradRunFolder *grad_run_folder_new (const gchar * path, const gchar * launch,
    GstElement * pipeline, GError ** error);
/* Takes the element messages; FALSE with an error when what they say cannot be written. */
gboolean grad_run_folder_handle (GradRunFolder * folder, const GstStructure * message,
    GError ** error);
/* When the pipeline is stopped: writes what is known by then. */
gboolean grad_run_folder_finish (GradRunFolder * folder, GError ** error);
/* Then: draws the pictures and adds the names of their files, within the folder. FALSE with the first error. */
gboolean grad_run_folder_draw (GradRunFolder * folder, GPtrArray * files, GError ** error);
void grad_run_folder_free (GradRunFolder * folder);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradRunFolder, grad_run_folder_free)

G_END_DECLS
