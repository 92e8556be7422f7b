/* GradStreamer: what became of a training, in pictures
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   curves.png          loss, accuracy and learning rate over the whole run
 *   confusion.png       which class was taken for which
 *   sheet.png           test pictures with what the network says of them, wrong ones first */
#pragma once

#include "gradevaluation.h"

G_BEGIN_DECLS

/**
 * GradPictures:
 * @folder: where they go
 * @suffix: of their names: "" or "-name"
 * @log: of the training, or NULL
 * @evaluation: how well the network does
 * @names: NULL-terminated names of the classes, or NULL for numbers
 * @images: IDX file with the pictures of @evaluation, or NULL
 *
 * What there is to draw; without a log no curves, without labels or pictures no more than that.
 */
typedef struct
{
  const gchar *folder, *suffix;
  const gchar *log;
  const GradEvaluation *evaluation;
  const gchar *const *names;
  const gchar *images;
} GradPictures;

/* Draws it and adds the names of the files to those. FALSE with the first error, GRAD_ERROR_UNSUPPORTED where the build cannot draw. */
gboolean grad_pictures_write (const GradPictures * pictures, GPtrArray * files, GError ** error);
G_END_DECLS
