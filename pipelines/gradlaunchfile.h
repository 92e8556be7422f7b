/* GradStreamer: .launch files: a launch string with comments and variables
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   # a comment: from a # at a line's start or after white space, outside quotes, to the line's end
 *   idxsrc batch-size=${batch-size:-256} ! …     a variable and its default
 *   … ! gradfc model=${model}                    a variable that must be given
 *   … price=$$1                                  $$ is a dollar sign
 *
 * A default holds for all uses of its variable, so that it stands in the file once. A value that is
 * given, even an empty one, takes its place. Values are put in as text. Outside quotes, line breaks
 * and runs of white space become one space. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define GRAD_LAUNCH_FILE_ERROR (grad_launch_file_error_quark ())
GQuark grad_launch_file_error_quark (void);

typedef enum
{
  GRAD_LAUNCH_FILE_ERROR_SYNTAX,        /* the file: an open quote, a bare $, two defaults */
  GRAD_LAUNCH_FILE_ERROR_UNDEFINED,     /* a variable without default was not given */
  GRAD_LAUNCH_FILE_ERROR_ARGUMENT       /* an argument is not name=value, or names no variable */
} GradLaunchFileError;

/* The launch string of a file's text. name is what messages call the file; arguments are name=value
 * strings, NULL-terminated, or NULL. */
gchar *grad_launch_file_expand (const gchar * text, const gchar * name,
    const gchar * const *arguments, GError ** error);

/* Reads the file and expands it. */
gchar *grad_launch_file_load (const gchar * path, const gchar * const *arguments,
    GError ** error);

G_END_DECLS
