/* GradStreamer: what a pipeline would train, without running it
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

/* Prints the network in front of each sink as a table, or as a line of JSON. The pipeline is in NULL, and stays there. Data that is not
 * there is missed, on standard error, but not needed as long as the launch string says how large pictures are. */
gboolean grad_dry_run (GstElement * pipeline, gboolean json, GError ** error);

G_END_DECLS
