/* GradStreamer kernels: the ways to compute a convolution on the cpu device
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * With precision bf16 oneDNN multiplies bfloat16, as far as it can on this processor, or floats
 * between reorders, and our own loops floats, but for the direct ones of bfloat16. Where oneDNN
 * has no fast code for the device's layout, as from 24 channels to 32, it would reorder
 * activations, and is then not asked where loops of our own can do it, but by the rule of `deterministic`. */
#include "conv-way.h"
#include "kernels/cpu.h"
#include "lib/device/gradcpudevice-private.h"

#include <string.h>

static const struct
{
  const gchar *name;
  GDestroyNotify free;
} kinds[GRAD_CONV_N_WAYS] = {
  [GRAD_CONV_ONEDNN] = {"onednn", (GDestroyNotify) grad_onednn_free},
  [GRAD_CONV_ONEDNN_F32] = {"onednn-f32", (GDestroyNotify) grad_onednn_free},
  [GRAD_CONV_WINOGRAD] = {"winograd", g_free},
  [GRAD_CONV_DIRECT] = {"direct", (GDestroyNotify) grad_direct_free},
  [GRAD_CONV_DIRECT_BF16] = {"direct-bf16", (GDestroyNotify) grad_direct_free},
  [GRAD_CONV_IM2COL] = {"im2col", g_free},
  [GRAD_CONV_PIXELWISE] = {"pixelwise", (GDestroyNotify) grad_pixelwise_free},
};

const gchar *
grad_conv_way_name (GradConvWayKind kind)
{
  return kinds[kind].name;
}

void
grad_conv_way_clear (GradConvWay * way)
{
  g_clear_pointer (&way->self, kinds[way->kind].free);
}

static GradShape
x_shape (const GradConvDesc * d)
{
  return GRAD_SHAPE (d->n, d->ic, d->ih, d->iw);
}

static GradShape
y_shape (const GradConvDesc * d)
{
  return GRAD_SHAPE (d->n, d->oc, d->oh, d->ow);
}

static GradShape
w_shape (const GradConvDesc * d)
{
  return GRAD_SHAPE (d->oc, d->ic, d->kernel, d->kernel);
}

/* In which type products are made; sums, biases and what becomes of weights are float anyway. */
static void
multiply_in (GradOnednnDesc * desc, gboolean bf16)
{
  desc->tensors[GRAD_ONEDNN_SRC].bf16 = desc->tensors[GRAD_ONEDNN_DST].bf16 = bf16;
  desc->tensors[GRAD_ONEDNN_WEIGHTS].bf16 = bf16 && desc->direction != dnnl_backward_weights;
}

/* `forward` is the forward one of a backward one; with `native`, bfloat16 is multiplied as soon as one end is stored so */
static GradOnednn *
onednn_new (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    gboolean native, const GradOnednn * forward, GError ** error)
{
  static const dnnl_prop_kind_t props[] = {
    dnnl_forward_training, dnnl_backward_data, dnnl_backward_weights
  };
  GradOnednnDesc desc = {
    .kind = dnnl_convolution,.direction = props[direction],.algorithm = dnnl_convolution_direct,
    .tensors = {
          [GRAD_ONEDNN_SRC] = grad_onednn_activation (device, x_shape (d)),
          [GRAD_ONEDNN_WEIGHTS] = grad_onednn_parameter (device, w_shape (d)),
          [GRAD_ONEDNN_DST] = grad_onednn_activation (device, y_shape (d)),
        },
    .stride = d->stride,.padding = d->padding,.add = d->add,.relu = d->relu,
    .keep = !d->training
  };

  if (d->bias && direction != GRAD_CONV_BACKWARD_DATA)
    desc.tensors[GRAD_ONEDNN_BIAS] = grad_onednn_parameter (device, GRAD_SHAPE (d->oc));
  multiply_in (&desc, native
      && (desc.tensors[GRAD_ONEDNN_SRC].bf16 || desc.tensors[GRAD_ONEDNN_DST].bf16));
  return grad_onednn_new (device, &desc, forward, error);
}

#define PIECE (64 << 10)        /* bytes that one thread copies at a time */

typedef struct
{
  guint8 *to;
  const guint8 *from;
  gsize size;
} Copy;

static void
copy_piece (gsize i, gpointer data)
{
  const Copy *c = data;

  memcpy (c->to + i * PIECE, c->from + i * PIECE, MIN (PIECE, c->size - i * PIECE));
}

static void
copy (const GradTensor * to, const GradTensor * from)
{
  Copy c = { grad_tensor_data (to), grad_tensor_data (from),
    GRAD_DEVICE_GET_CLASS (to->device)->storage_size (to->device, to->dtype, &to->shape, to->layout)
  };

  grad_parallel_for ((c.size + PIECE - 1) / PIECE, copy_piece, &c);
}

gboolean
grad_conv_way_run (GradConvWay * way, GradConvDirection direction, const GradTensor * x,
    const GradTensor * w, const GradTensor * b, const GradTensor * residual, const GradTensor * y,
    gboolean accumulate, GError ** error)
{
  gboolean to_weights = direction == GRAD_CONV_BACKWARD_WEIGHTS;
  gboolean to_data = direction == GRAD_CONV_BACKWARD_DATA;
  const GradTensor *from = to_data ? y : x, *to = to_data ? x : y;

  switch (way->kind) {
    case GRAD_CONV_WINOGRAD:
      return to_weights ? grad_winograd_gradient (way->self, x, y, w, accumulate, error)
          : grad_winograd_convolve (way->self, from, w, b, residual, to, error);
    case GRAD_CONV_PIXELWISE:
      return to_weights ? grad_pixelwise_gradient (way->self, x, y, w, accumulate, error)
          : grad_pixelwise_convolve (way->self, from, w, b, residual, to, error);
    case GRAD_CONV_DIRECT:
    case GRAD_CONV_DIRECT_BF16:
      return grad_direct_convolve (way->self, x, w, b, residual, y, error);
    case GRAD_CONV_IM2COL:
      return grad_im2col_gradient (way->self, x, y, w, b, accumulate, error);
    default:
      if (residual != NULL && residual != y)    /* oneDNN adds to what is there */
        copy (y, residual);
      return grad_onednn_run (way->self, (const GradTensor *[GRAD_ONEDNN_N_SLOTS]) { x, w, b, y },
          accumulate, error);
  }
}

gboolean
grad_conv_is_small (const GradConvDesc * d)
{
  return !d->training && d->n <= 8 && (gint64) d->n * d->oh * d->ow <= 4096;
}

gboolean
grad_conv_way_supported (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    GradConvWayKind kind)
{
  switch (kind) {
    case GRAD_CONV_ONEDNN:
      return !grad_conv_is_small (d) || !grad_direct_supports (device, d, FALSE);
    case GRAD_CONV_ONEDNN_F32:
      return grad_conv_way_supported (device, d, direction, GRAD_CONV_ONEDNN)
          && (grad_onednn_activation (device, x_shape (d)).bf16
          || grad_onednn_activation (device, y_shape (d)).bf16);
    case GRAD_CONV_WINOGRAD:
      return grad_winograd_supports (device, d, direction);
    case GRAD_CONV_IM2COL:
      return direction == GRAD_CONV_BACKWARD_WEIGHTS && grad_im2col_supports (device, d);
    case GRAD_CONV_PIXELWISE:
      return d->n > 1 && grad_pixelwise_supports (device, d, direction);
    default:
      return direction == GRAD_CONV_FORWARD
          && grad_direct_supports (device, d, kind == GRAD_CONV_DIRECT_BF16);
  }
}

gboolean
grad_conv_way_new (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    GradConvWayKind kind, GradConvHints hints, GradConvWay * way, GError ** error)
{
  gboolean native = kind == GRAD_CONV_ONEDNN;

  *way = (GradConvWay) { kind, NULL };
  switch (kind) {
    case GRAD_CONV_WINOGRAD:
      way->self = grad_winograd_new (device, d, direction, error);
      break;
    case GRAD_CONV_PIXELWISE:
      way->self = grad_pixelwise_new (device, d, direction, error);
      break;
    case GRAD_CONV_DIRECT:
    case GRAD_CONV_DIRECT_BF16:
      way->self = grad_direct_new (device, d, kind == GRAD_CONV_DIRECT_BF16, error);
      break;
    case GRAD_CONV_IM2COL:
      way->self = grad_im2col_new (device, d, error);
      break;
    default:
      if (direction == GRAD_CONV_FORWARD || hints[kind] != NULL
          || (hints[kind] = onednn_new (device, d, GRAD_CONV_FORWARD, native, NULL, error)) != NULL)
        way->self = onednn_new (device, d, direction, native, hints[kind], error);
  }
  return way->self != NULL;
}

void
grad_conv_hints_clear (GradConvHints hints)
{
  for (gint i = 0; i < GRAD_CONV_N_WAYS; i++)
    grad_onednn_free (hints[i]);
}
