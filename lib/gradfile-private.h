/* GradStreamer: files are mapped whole and replaced whole
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradtypes.h"

#include <sys/uio.h>

G_BEGIN_DECLS

/* Contents of a regular file, mapped. An empty file is GRAD_ERROR_FILE; anything else, a pipe that
 * would block included, is GRAD_ERROR_IO. */
GBytes *grad_file_map (const gchar * location, GError ** error);

/* Where links lead, also to a file that is not there yet */
GRAD_API gchar *grad_file_resolve (const gchar * location);

/* Writes the parts to a temporary file beside location, syncs it and renames it over location:
 * whoever looks sees the old file or the new one. On failure (GRAD_ERROR_IO) it is the old one. */
GRAD_API gboolean grad_file_replace (const gchar * location, const struct iovec *parts,
    guint n_parts, GError ** error);

G_END_DECLS
