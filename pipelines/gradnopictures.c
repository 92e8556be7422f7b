/* GradStreamer: what became of a training, in a build without Pango
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradpictures.h"

gboolean
grad_pictures_write (const GradPictures * pictures, GPtrArray * files, GError ** error)
{
  g_set_error_literal (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "nothing is drawn: this build has no "
      "Pango; install libpango1.0-dev and build again");
  return FALSE;
}
