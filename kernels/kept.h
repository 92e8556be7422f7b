/* GradStreamer kernels: weights as a kernel wants them
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

G_BEGIN_DECLS

/* Memory for weights in another form, which lasts as long as they do: from call to call and for all plans, whatever their
 * shapes. fresh: whether there already is what they are now; else the caller makes it, and says so. form: names what is made, of
 * `size` bytes */
GRAD_API gpointer grad_kept_get (const GradTensor * weights, GQuark form, gsize size, gboolean * fresh,
    GError ** error);
GRAD_API void grad_kept_made (const GradTensor * weights, GQuark form);
/* The same if it is there, and what the weights are now; else NULL */
GRAD_API gpointer grad_kept_find (const GradTensor * weights, GQuark form);
/* The weights have changed, and so has what is kept of them. */
GRAD_API void grad_kept_follow (const GradTensor * weights, GQuark form);

G_END_DECLS
