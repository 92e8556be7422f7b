/* GradStreamer: what the files of the saver share
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradsaver.h"

G_BEGIN_DECLS

#define GRAD_SAVER_FINISHED "finished"  /* in the metadata of a training that has come to its end */

/* In gradsaverresume.c: has the training begin with what the file says. */
gboolean grad_saver_resume (GradSaver * self, const gchar * location, GError ** error);
/* Warns if that was on another device: others round otherwise, and add up in another order, which is no error, but not the same bits,
 * either. */
void grad_saver_compare_device (GradSaver * self);

G_END_DECLS
