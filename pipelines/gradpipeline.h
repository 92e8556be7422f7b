/* GradStreamer: from a command line to a pipeline
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

/* Before gst_init(), so that GST_TRACERS may name a tracer of ours: has it find the plugin beside
 * this program, in a build or an installation, unless GST_PLUGIN_PATH has one already. */
void grad_pipeline_find_plugin (void);

/* arguments, NULL-terminated: a .launch file or a launch string, then name=value …; or the words of
 * a launch string, as gst-launch-1.0 takes them. */
/* The launch string that they stand for, without variables and comments. (transfer full) */
gchar *grad_pipeline_resolve (const gchar * const *arguments, GError ** error);
GstElement *grad_pipeline_parse (const gchar * launch, GError ** error);
/* Both in one */
GstElement *grad_pipeline_new (const gchar * const *arguments, GError ** error);

/* Whether an optimizer is in it */
gboolean grad_pipeline_trains (GstElement * pipeline);
/* A GstElementCallAsyncFunc, as it may wait for a buffer */
void grad_pipeline_end_stream (GstElement * pipeline, gpointer unused);
/* The name of an element with an output that is linked to nothing: (transfer full) (nullable) */
gchar *grad_pipeline_find_loose (GstElement * pipeline);

/* 2 for a wrong command, 1 for everything else */
gint grad_pipeline_exit_status (const GError * error);

G_END_DECLS
