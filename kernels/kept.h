/* GradStreamer kernels: weights as a kernel of the cpu device wants them
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

G_BEGIN_DECLS

/* Memory for weights in another form, which lasts as long as they do: from call to call and for all plans, whatever their
 * shapes. fresh: whether there already is what they are now; else the caller makes it at once. form: names what is made, of
 * `size` bytes */
gpointer grad_kept_get (const GradTensor * weights, GQuark form, gsize size, gboolean * fresh,
    GError ** error);

G_END_DECLS
