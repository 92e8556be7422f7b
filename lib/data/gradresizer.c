/* GradStreamer: resizes batches of pictures
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradresizer.h"
#include "kernels/kernels.h"

#include <string.h>

struct _GradResizer
{
  GradDevice *device;           /* owned */
  GradResizeDesc desc;          /* of the plan */
  GradPlan *plan;
};

/**
 * grad_resizer_parse: (skip)
 * @name: what it is, for the error: "mean"
 * @text: (nullable): "0.5", or one number per channel: "0.485,0.456,0.406"
 * @values: (out caller-allocates) (array fixed-size=4): one of each channel; the last number holds for further channels
 * @positive: whether numbers must be greater than 0
 * @error: location of a #GError
 *
 * Returns: %FALSE with %GRAD_ERROR_SETTINGS when @text is something else
 */
gboolean
grad_resizer_parse (const gchar * name, const gchar * text, gfloat values[GRAD_RESIZER_CHANNELS],
    gboolean positive, GError ** error)
{
  g_auto (GStrv) parts = g_strsplit (text ? text : "", ",", GRAD_RESIZER_CHANNELS + 1);
  guint n = g_strv_length (parts);

  for (guint i = 0; n >= 1 && n <= GRAD_RESIZER_CHANNELS && i < GRAD_RESIZER_CHANNELS; i++) {
    gchar *part = g_strstrip (parts[MIN (i, n - 1)]), *end;

    values[i] = g_ascii_strtod (part, &end);
    if (*part == '\0' || *end != '\0' || !(ABS (values[i]) <= G_MAXFLOAT)
        || (positive && !(values[i] > 0)))
      break;
    if (i == GRAD_RESIZER_CHANNELS - 1)
      return TRUE;
  }
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "%s=\"%s\": use 1 to %d %snumbers "
      "separated by commas", name, text ? text : "", GRAD_RESIZER_CHANNELS,
      positive ? "positive " : "");
  return FALSE;
}

/**
 * grad_resizer_new: (skip)
 * @device: where
 * @mean: (array fixed-size=4): means of the channels
 * @std: (array fixed-size=4): standard deviations of the channels
 *
 * Makes what turns uint8 pictures into floats, as torchvision does it with PIL: antialiased bilinear, then
 * y = (v / 255 - mean) / std.
 *
 * Returns: (transfer full): a new resizer, for one thread at a time
 */
GradResizer *
grad_resizer_new (GradDevice * device, const gfloat * mean, const gfloat * std)
{
  GradResizer *self = g_new0 (GradResizer, 1);

  self->device = g_object_ref (device);
  memcpy (self->desc.mean, mean, sizeof self->desc.mean);
  memcpy (self->desc.std, std, sizeof self->desc.std);
  return self;
}

/**
 * grad_resizer_free: (skip)
 * @resizer: (transfer full): a resizer
 */
void
grad_resizer_free (GradResizer * resizer)
{
  grad_plan_free (resizer->plan);
  g_object_unref (resizer->device);
  g_free (resizer);
}

/**
 * grad_resizer_run: (skip)
 * @resizer: a resizer
 * @pictures: uint8, N C H W
 * @width: columns to make
 * @height: rows to make
 * @error: location of a #GError
 *
 * Works in the caller's thread, beside what the device computes.
 *
 * Returns: (transfer full) (nullable): (N, C, @height, @width) float32, or %NULL with the device's error
 */
GradTensor *
grad_resizer_run (GradResizer * resizer, GradTensor * pictures, gint width, gint height,
    GError ** error)
{
  const gint *in = grad_tensor_get_shape (pictures)->dims;
  g_autoptr (GradTensor) out = grad_tensor_new (resizer->device, GRAD_DTYPE_FLOAT32,
      &GRAD_SHAPE (in[0], in[1], height, width), error);

  return out && grad_resizer_run_into (resizer, pictures, out, 0, error)
      ? g_steal_pointer (&out) : NULL;
}

/**
 * grad_resizer_run_into: (skip)
 * @resizer: a resizer
 * @pictures: uint8, N C H W
 * @out: float32, made by grad_tensor_new(), with as many channels and at least @first + N samples
 * @first: sample of @out to begin with
 * @error: location of a #GError
 *
 * As grad_resizer_run(), to some samples of a larger batch.
 *
 * Returns: %FALSE with the device's error
 */
gboolean
grad_resizer_run_into (GradResizer * resizer, GradTensor * pictures, GradTensor * out, gint first,
    GError ** error)
{
  const GradResizeOps *ops = grad_device_kernels (resizer->device)->resize;
  const gint *in = grad_tensor_get_shape (pictures)->dims, *to = grad_tensor_get_shape (out)->dims;
  GradResizeDesc desc = resizer->desc;

  desc.n = in[0], desc.c = in[1], desc.ih = in[2], desc.iw = in[3];
  desc.oh = to[2], desc.ow = to[3];
  if (resizer->plan == NULL || memcmp (&desc, &resizer->desc, sizeof desc) != 0) {
    grad_plan_free (resizer->plan);
    resizer->desc = desc;
    resizer->plan = ops->plan (resizer->device, &desc, error);
  }
  return resizer->plan && ops->run (resizer->plan, pictures, out, first, error);
}
