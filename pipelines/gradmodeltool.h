/* GradStreamer: grad-model: what its commands share
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "lib/gradstreamer.h"

#include <stdio.h>

G_BEGIN_DECLS

#define EXIT_USAGE 2

/**
 * GradCommand:
 * @name: as it is typed
 * @usage: what follows it
 * @summary: one line
 * @description: for --help
 * @run: gets the arguments behind the command's name, and says the exit status
 */
typedef struct _GradCommand GradCommand;
struct _GradCommand
{
  const gchar *name, *usage, *summary, *description;
  gint (*run) (const GradCommand * command, gint argc, gchar ** argv);
};

extern const GradCommand grad_command_info, grad_command_diff, grad_command_classify,
    grad_command_eval;

/* Takes a command's options out of its arguments; FALSE after an error was printed, or the usage, because fewer than min or more than
 * max are left. argv[0] is no argument. */
gboolean grad_command_parse (const GradCommand * command, const GOptionEntry * entries,
    gint * argc, gchar *** argv, gint min, gint max);
/* Prints the error and returns the exit status for it. */
gint grad_command_fail (const GError * error);
/* Prints the text, which it frees. */
void grad_command_print (gchar * text);

/* Plays until the end of the stream or an application message; FALSE with the first error. */
gboolean grad_command_play (GstElement * pipeline, GError ** error);

G_END_DECLS
