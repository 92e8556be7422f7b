/* GradStreamer kernels: choices that were measured once and are remembered
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Which way is the fastest to compute something on this machine: a short text for a key, which
 * says all that the choice depends on and starts with the backend and its version. They are in the
 * process and in the file gradstreamer/choices in the user's cache directory, which is read once:
 * one line for each, the key, a tab, the choice. Neither has tabs or line breaks in it. What comes
 * from the file may be anything else: whoever asks checks it. Any thread may call. */
#pragma once

#include "lib/gradtypes.h"

G_BEGIN_DECLS

/* (transfer full); NULL: none is known */
GRAD_API gchar *grad_choice_find (const gchar * key);
/* What counts from now on (transfer full): `choice`, or what another process has chosen since
 * grad_choice_find() said `known` (nullable), so that two that measure at the same time compute the
 * same way the next time. Where the file cannot be written the process remembers. */
GRAD_API gchar *grad_choice_keep (const gchar * key, const gchar * known, const gchar * choice);
/* A run begins, and ends; all that was asked for, kept or adopted since the first of those that go on began, as lines of the
 * file (transfer full); such lines from elsewhere, which count from now on in this process, whatever its file says. */
GRAD_API void grad_choices_begin (void);
GRAD_API void grad_choices_end (void);
GRAD_API gchar *grad_choices_describe (void);
GRAD_API void grad_choices_adopt (const gchar * lines);
/* Forgets what is in the process; for tests. */
GRAD_API void grad_choice_forget (void);

G_END_DECLS
