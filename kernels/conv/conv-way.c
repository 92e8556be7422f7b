/* GradStreamer kernels: the ways to compute a convolution on the cpu device
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * With precision bf16 oneDNN multiplies bfloat16, as far as it can on this processor, or floats
 * between reorders, and our own loops floats, but for the direct ones of bfloat16. Where oneDNN
 * has no fast code for the device's layout, as from 24 channels to 32, it would reorder
 * activations, and is then not asked where loops of our own can do it, but by the rule of `deterministic`. */
#include "conv-way.h"
#include "kernels/choices.h"
#include "kernels/cpu.h"
#include "lib/device/gradcpudevice-private.h"

#include <string.h>
#if defined (__x86_64__)
#include <cpuid.h>
#endif

GST_DEBUG_CATEGORY_STATIC (grad_conv_debug);
#define GST_CAT_DEFAULT grad_conv_debug

#define N_RUNS 3                /* that are timed, after one that is not */

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

/* what ways are timed with: residual is not y, as it is in a network */
typedef struct
{
  GradTensor *x, *w, *b, *residual, *y;
} Scratch;

static gboolean
scratch_new (GradDevice * device, const GradConvDesc * d, gboolean has_bias, Scratch * s,
    GError ** error)
{
  const GradElementwiseOps *ops = grad_device_kernels (device)->elementwise;
  GradShape x = x_shape (d), w = w_shape (d), b = GRAD_SHAPE (d->oc), y = y_shape (d);

  return (s->x = grad_tensor_new (device, GRAD_DTYPE_FLOAT32, &x, error))
      && (s->w = grad_tensor_new_parameter (device, &w, error))
      && (!has_bias || (s->b = grad_tensor_new_parameter (device, &b, error)))
      && (!d->add || (s->residual = grad_tensor_new (device, GRAD_DTYPE_FLOAT32, &y, error)))
      && (s->y = grad_tensor_new (device, GRAD_DTYPE_FLOAT32, &y, error))
      && ops->zero (device, s->x, error) && ops->zero (device, s->w, error)
      && (!has_bias || ops->zero (device, s->b, error))
      && (!d->add || ops->zero (device, s->residual, error)) && ops->zero (device, s->y, error);
}

static void
scratch_clear (Scratch * s)
{
  GradTensor *tensors[] = { s->x, s->w, s->b, s->residual, s->y };

  for (guint i = 0; i < G_N_ELEMENTS (tensors); i++)
    if (tensors[i] != NULL)
      grad_tensor_unref (tensors[i]);
}

/* The fastest of the ways that are there: the shortest of some runs counts, and they take turns; what at first takes many times as long
 * as another, as oneDNN's plain C for ARM, is not run again. -1: an error */
static gint
find_fastest (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    GradConvWay * ways, GError ** error)
{
  gint64 first[GRAD_CONV_N_WAYS] = { 0 }, best[GRAD_CONV_N_WAYS], shortest = G_MAXINT64;
  Scratch s = { NULL };
  gboolean ok = scratch_new (device, d,
      d->bias && direction != GRAD_CONV_BACKWARD_DATA, &s, error);
  gint fastest = 0;

  for (gint i = 0; i < GRAD_CONV_N_WAYS; i++)
    best[i] = G_MAXINT64;
  for (gint i = 0; i < GRAD_CONV_N_WAYS * (1 + N_RUNS) && ok; i++) {
    gint k = i % GRAD_CONV_N_WAYS;
    gint64 start = g_get_monotonic_time (), time;

    if (ways[k].self == NULL
        || (i >= GRAD_CONV_N_WAYS && first[k] > 4 * shortest + 10 * G_TIME_SPAN_MILLISECOND))
      continue;
    ok = grad_conv_way_run (&ways[k], direction, s.x, s.w, s.b, s.residual, s.y, FALSE, error);
    time = g_get_monotonic_time () - start;
    if (i < GRAD_CONV_N_WAYS) {
      first[k] = time;
      shortest = MIN (shortest, time);
    } else
      best[k] = MIN (best[k], time);
  }
  scratch_clear (&s);
  for (gint i = 0; i < GRAD_CONV_N_WAYS; i++) {
    if (best[i] < G_MAXINT64)
      GST_INFO ("%s takes %" G_GINT64_FORMAT " us", kinds[i].name, best[i]);
    if (best[i] < best[fastest])
      fastest = i;
  }
  return ok ? fastest : -1;
}

static const gchar *
processor_name (void)
{
  static gchar name[49];
  static gsize once;

  if (g_once_init_enter (&once)) {
#if defined (__aarch64__)
    g_autofree gchar *midr = NULL;

    if (g_file_get_contents ("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1", &midr, NULL,
            NULL))
      g_strlcpy (name, g_strchomp (midr), sizeof name);
#elif defined (__x86_64__)
    guint r[12] = { 0 };

    for (guint i = 0; i < 3; i++)
      __get_cpuid (0x80000002 + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]);
    memcpy (name, r, sizeof r);
    for (gchar * c = name; *c != '\0'; c++)
      if (!g_ascii_isprint (*c))
        *c = '?';
    g_strstrip (name);
#endif
    g_once_init_leave (&once, 1);
  }
  return name;
}

static gchar *
choice_key (GradDevice * device, const GradConvDesc * d, GradConvDirection direction)
{
  static const gchar *const names[] = { "forward", "data", "weights" };
  const dnnl_version_t *v = dnnl_version ();

  return g_strdup_printf ("cpu 7 %s, blocks of %u, oneDNN %d.%d.%d for %x, %u threads|%s%s%s%s%s%s %d %d %dx%d "
      "%d %dx%d k%d s%d p%d", processor_name (), grad_cpu_block (), v->major, v->minor, v->patch,
      (guint) dnnl_get_effective_cpu_isa (),
      grad_device_get_threads (device), names[direction],
      grad_device_get_precision (device) == GRAD_PRECISION_BF16 ? " bf16" : "",
      d->training ? "" : " inference", d->bias ? " bias" : "", d->add ? " add" : "", d->relu ? " relu" : "", d->n, d->ic,
      d->ih, d->iw, d->oc, d->oh, d->ow, d->kernel, d->stride, d->padding);
}

/* Few pictures and pixels and, in turn, many weights, for which nobody else has room in caches when ways are timed: then oneDNN seems better than
 * it is within a network, where it also wakes threads of its own. */
static gboolean
is_small (const GradConvDesc * d)
{
  return !d->training && d->n <= 8 && (gint64) d->n * d->oh * d->ow <= 4096;
}

static gboolean
way_supported (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    GradConvWayKind kind)
{
  switch (kind) {
    case GRAD_CONV_ONEDNN:
      return !is_small (d) || !grad_direct_supports (device, d, FALSE);
    case GRAD_CONV_ONEDNN_F32:
      return way_supported (device, d, direction, GRAD_CONV_ONEDNN)
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

/* without timing: Winograd transforms the weights for each batch, which pays with many pixels, and with stride 2, where backward
 * ones are far from what multiplications take, with fewer; with few of them it is reading the weights that counts. To the weights
 * of a stem oneDNN has nothing fast, nor for the small pictures of a batch. */
static GradConvWayKind
rule (GradDevice * device, const GradConvDesc * d, GradConvDirection direction)
{
  gboolean many = (gint64) d->n * d->oh * d->ow >= (d->training ? 2048 : 512) / d->stride;

  if (many && way_supported (device, d, direction, GRAD_CONV_WINOGRAD))
    return GRAD_CONV_WINOGRAD;
  if (way_supported (device, d, direction, GRAD_CONV_IM2COL))
    return GRAD_CONV_IM2COL;
  if (d->n >= 16 && way_supported (device, d, direction, GRAD_CONV_PIXELWISE))
    return GRAD_CONV_PIXELWISE;
  if (!is_small (d) || !way_supported (device, d, direction, GRAD_CONV_DIRECT))
    return GRAD_CONV_ONEDNN;
  return way_supported (device, d, direction, GRAD_CONV_DIRECT_BF16) ? GRAD_CONV_DIRECT_BF16
      : GRAD_CONV_DIRECT;
}

static gboolean
way_new (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
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

/* By reordering activations oneDNN wins or loses little against loops of our own, and in a network that costs caches, too: where there
 * are some, they have it to themselves. */
static void
leave_reorders (GradConvWay * ways)
{
  gboolean own = FALSE;

  for (gint i = GRAD_CONV_N_ONEDNN; i < GRAD_CONV_N_WAYS; i++)
    own |= ways[i].self != NULL;
  for (gint i = 0; i < GRAD_CONV_N_ONEDNN && own; i++)
    if (ways[i].self != NULL && grad_onednn_reorders (ways[i].self))
      grad_conv_way_clear (&ways[i]);
}

/* Makes all ways, keeps the fastest, and remembers it. */
static gboolean
measure (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    GradConvHints hints, const gchar * key, const gchar * known, GradConvWay * way, GError ** error)
{
  GradConvWay ways[GRAD_CONV_N_WAYS] = { {0} };
  gint fastest = -1;
  gboolean ok = TRUE;

  for (gint i = 0; i < GRAD_CONV_N_WAYS && ok; i++)
    if (way_supported (device, d, direction, i))
      ok = way_new (device, d, direction, i, hints, &ways[i], error);
  leave_reorders (ways);
  if (ok)
    fastest = find_fastest (device, d, direction, ways, error);
  if (fastest >= 0) {
    g_autofree gchar *kept = grad_choice_keep (key, known, kinds[fastest].name);

    for (gint i = 0; i < GRAD_CONV_N_WAYS; i++)
      if (g_str_equal (kept, kinds[i].name) && ways[i].self != NULL)
        fastest = i;
    *way = ways[fastest];
    ways[fastest].self = NULL;
  }
  for (gint i = 0; i < GRAD_CONV_N_WAYS; i++)
    grad_conv_way_clear (&ways[i]);
  return fastest >= 0;
}

gboolean
grad_conv_way_choose (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    GradConvHints hints, GradConvWay * way, GError ** error)
{
  GradConvWayKind kind = rule (device, d, direction);
  gint n_ways = 0;

  GST_DEBUG_CATEGORY_INIT (grad_conv_debug, "gradconv", 0, "GradStreamer's convolutions");
  for (gint i = 0; i < GRAD_CONV_N_WAYS; i++)
    n_ways += way_supported (device, d, direction, i);
  if (n_ways > 1 && !grad_device_settings (device)->deterministic) {
    g_autofree gchar *key = choice_key (device, d, direction), *choice = grad_choice_find (key);

    for (kind = 0; kind < GRAD_CONV_N_WAYS; kind++)
      if (g_strcmp0 (choice, kinds[kind].name) == 0 && way_supported (device, d, direction, kind))
        break;
    if (kind == GRAD_CONV_N_WAYS)
      return measure (device, d, direction, hints, key, choice, way, error);
  }
  return way_new (device, d, direction, kind, hints, way, error);
}

void
grad_conv_hints_clear (GradConvHints hints)
{
  for (gint i = 0; i < GRAD_CONV_N_WAYS; i++)
    grad_onednn_free (hints[i]);
}
