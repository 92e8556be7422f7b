/* GradStreamer kernels: 2D convolution on the cpu device, by oneDNN and by Winograd's algorithm
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   x, dx: (N, I, IH, IW), y, dy, residual: (N, O, OH, OW), in the device's layout
 *   w, dw: (O, I, kernel, kernel), b, db: (O)
 *   (where oneDNN has no fast code for the device's layout, as from 24 channels to 32, it also
 *   reorders activations)
 *   y =, dx =, dw = or +=, db = or +=
 *
 * Each direction goes the fastest way: timed once, remembered by grad_choice_keep(). With
 * `deterministic` a rule decides. With precision bf16 oneDNN multiplies bfloat16, as far as it can on
 * this processor, or floats between reorders, and Winograd's algorithm floats. Results are the same each time for a given number of threads: on
 * it depends the order in which gradients of weights and biases are summed. */
#include "winograd.h"
#include "kernels/choices.h"
#include "kernels/onednn.h"

#include <string.h>
#if defined (__x86_64__)
#include <cpuid.h>
#endif

GST_DEBUG_CATEGORY_STATIC (grad_conv_debug);
#define GST_CAT_DEFAULT grad_conv_debug

#define N_RUNS 3                /* that are timed, after one that is not */

/* how one direction may be computed */
typedef enum
{
  WAY_DIRECT,                   /* as activations are stored */
  WAY_DIRECT_F32,               /* in floats, though they are stored as bfloat16 */
  WAY_WINOGRAD,
  N_WAYS
} WayKind;

static const gchar *const way_names[] = { "direct", "direct-f32", "winograd" };

/* one of them, or neither */
typedef struct
{
  GradOnednn *direct;
  GradWinograd *winograd;
} Way;

typedef struct
{
  GradPlan base;
  gboolean add;
  gsize y_size;                 /* bytes */
  Way ways[GRAD_CONV_N_DIRECTIONS];     /* backward ones may be empty */
} Plan;

static void
way_clear (Way * way)
{
  grad_onednn_free (way->direct);
  grad_winograd_free (way->winograd);
}

static void
conv_free (GradPlan * base)
{
  Plan *plan = (Plan *) base;

  for (gint i = 0; i < GRAD_CONV_N_DIRECTIONS; i++)
    way_clear (&plan->ways[i]);
  g_free (plan);
}

static gboolean
conv_supports (GradDevice * device, const GradConvDesc * d)
{
  return grad_conv_desc_check (d, NULL);
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

/* `forward` is the forward one of a backward one; with `native` bfloat16 is multiplied as soon as one end is stored so */
static GradOnednn *
direct_new (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    gboolean native, const GradOnednn * forward, GError ** error)
{
  static const dnnl_prop_kind_t kinds[] = {
    dnnl_forward_training, dnnl_backward_data, dnnl_backward_weights
  };
  GradOnednnDesc desc = {
    .kind = dnnl_convolution,.direction = kinds[direction],.algorithm = dnnl_convolution_direct,
    .tensors = {
          [GRAD_ONEDNN_SRC] = grad_onednn_activation (device, x_shape (d)),
          [GRAD_ONEDNN_WEIGHTS] = grad_onednn_parameter (device, w_shape (d)),
          [GRAD_ONEDNN_DST] = grad_onednn_activation (device, y_shape (d)),
        },
    .kernel = d->kernel,.stride = d->stride,.padding = d->padding,.add = d->add,.relu = d->relu,
  };

  if (d->bias && direction != GRAD_CONV_BACKWARD_DATA)
    desc.tensors[GRAD_ONEDNN_BIAS] = grad_onednn_parameter (device, GRAD_SHAPE (d->oc));
  multiply_in (&desc, native
      && (desc.tensors[GRAD_ONEDNN_SRC].bf16 || desc.tensors[GRAD_ONEDNN_DST].bf16));
  return grad_onednn_new (device, &desc, forward, error);
}

/* bytes */
static gsize
y_size (GradDevice * device, const GradConvDesc * d)
{
  GradShape y = y_shape (d);

  return GRAD_DEVICE_GET_CLASS (device)->storage_size (device, GRAD_DTYPE_FLOAT32, &y,
      grad_onednn_activation (device, y).layout);
}

static void
copy (guint8 * to, const guint8 * from, gsize size)
{
  const gsize piece = 64 << 10;

#pragma omp parallel for schedule(static)
  for (gsize i = 0; i < size; i += piece)
    memcpy (to + i, from + i, MIN (piece, size - i));
}

static gboolean
conv_forward (GradPlan * base, const GradTensor * x, const GradTensor * w, const GradTensor * b,
    const GradTensor * residual, GradTensor * y, GError ** error)
{
  Plan *plan = (Plan *) base;
  Way *way = &plan->ways[GRAD_CONV_FORWARD];
  const GradTensor *tensors[GRAD_ONEDNN_N_SLOTS] = { x, w, b, y };

  if (way->winograd)
    return grad_winograd_convolve (way->winograd, x, w, b, residual, y, error);
  if (plan->add && residual != y)
    copy (grad_tensor_data (y), grad_tensor_data (residual), plan->y_size);
  return grad_onednn_run (way->direct, tensors, FALSE, error);
}

static gboolean
has_backward (Plan * plan, GError ** error)
{
  const Way *way = &plan->ways[GRAD_CONV_BACKWARD_WEIGHTS];

  return grad_conv_check_backward (way->direct != NULL || way->winograd != NULL, error);
}

static gboolean
conv_backward_data (GradPlan * base, const GradTensor * dy, const GradTensor * w, GradTensor * dx,
    GError ** error)
{
  Plan *plan = (Plan *) base;
  Way *way = &plan->ways[GRAD_CONV_BACKWARD_DATA];
  const GradTensor *tensors[GRAD_ONEDNN_N_SLOTS] = { dx, w, NULL, dy };

  if (!has_backward (plan, error))
    return FALSE;
  return way->winograd ? grad_winograd_convolve (way->winograd, dy, w, NULL, NULL, dx, error)
      : grad_onednn_run (way->direct, tensors, FALSE, error);
}

static gboolean
conv_backward_weights (GradPlan * base, const GradTensor * x, const GradTensor * dy,
    GradTensor * dw, GradTensor * db, gboolean accumulate, GError ** error)
{
  Plan *plan = (Plan *) base;
  Way *way = &plan->ways[GRAD_CONV_BACKWARD_WEIGHTS];
  const GradTensor *tensors[GRAD_ONEDNN_N_SLOTS] = { x, dw, db, dy };

  if (!has_backward (plan, error))
    return FALSE;
  return way->winograd ? grad_winograd_gradient (way->winograd, x, dy, dw, accumulate, error)
      : grad_onednn_run (way->direct, tensors, accumulate, error);
}

/* the tensors of a plan whose ways are timed */
typedef struct
{
  GradTensor *x, *w, *b, *y;
} Scratch;

static gboolean
scratch_new (GradDevice * device, const GradConvDesc * d, Scratch * s, GError ** error)
{
  const GradElementwiseOps *ops = grad_device_kernels (device)->elementwise;
  GradShape x = x_shape (d), w = w_shape (d), b = GRAD_SHAPE (d->oc), y = y_shape (d);

  return (s->x = grad_tensor_new (device, GRAD_DTYPE_FLOAT32, &x, error))
      && (s->w = grad_tensor_new_parameter (device, &w, error))
      && (s->b = grad_tensor_new_parameter (device, &b, error))
      && (s->y = grad_tensor_new (device, GRAD_DTYPE_FLOAT32, &y, error))
      && ops->zero (device, s->x, error) && ops->zero (device, s->w, error)
      && ops->zero (device, s->b, error) && ops->zero (device, s->y, error);
}

static void
scratch_clear (Scratch * s)
{
  GradTensor *tensors[] = { s->x, s->w, s->b, s->y };

  for (guint i = 0; i < G_N_ELEMENTS (tensors); i++)
    if (tensors[i] != NULL)
      grad_tensor_unref (tensors[i]);
}

static gboolean
run (Plan * plan, GradConvDirection direction, const GradConvDesc * d, const Scratch * s,
    GError ** error)
{
  switch (direction) {
    case GRAD_CONV_FORWARD:
      return conv_forward (&plan->base, s->x, s->w, d->bias ? s->b : NULL, d->add ? s->y : NULL,
          s->y, error);
    case GRAD_CONV_BACKWARD_DATA:
      return conv_backward_data (&plan->base, s->y, s->w, s->x, error);
    default:
      return conv_backward_weights (&plan->base, s->x, s->y, s->w, d->bias ? s->b : NULL, FALSE,
          error);
  }
}

/* The fastest of the ways that are there: the shortest of some runs counts, and they take turns. -1: an error */
static gint
find_fastest (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    const Way * ways, GError ** error)
{
  Plan plan = {.base = {.device = device },.add = d->add,.y_size = y_size (device, d) };
  gint64 best[N_WAYS] = { G_MAXINT64, G_MAXINT64, G_MAXINT64 };
  Scratch scratch = { NULL };
  gboolean ok = scratch_new (device, d, &scratch, error);
  gint fastest = 0;

  for (gint i = 0; i < N_WAYS * (1 + N_RUNS) && ok; i++) {
    const Way *way = &ways[i % N_WAYS];
    gint64 start = g_get_monotonic_time ();

    if (way->direct == NULL && way->winograd == NULL)
      continue;
    plan.ways[GRAD_CONV_BACKWARD_WEIGHTS] = *way;       /* says that there is a backward */
    plan.ways[direction] = *way;
    ok = run (&plan, direction, d, &scratch, error);
    if (i >= N_WAYS)
      best[i % N_WAYS] = MIN (best[i % N_WAYS], g_get_monotonic_time () - start);
  }
  scratch_clear (&scratch);
  for (gint i = 0; i < N_WAYS; i++) {
    if (best[i] < G_MAXINT64)
      GST_INFO ("%s takes %" G_GINT64_FORMAT " us", way_names[i], best[i]);
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
#if defined (__x86_64__)
    guint r[12] = { 0 };

    for (guint i = 0; i < 3; i++)
      __get_cpuid (0x80000002 + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]);
    memcpy (name, r, sizeof r);
    g_strstrip (g_strcanon (name, " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[]^_"
            "abcdefghijklmnopqrstuvwxyz{}~", '?'));
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

  return g_strdup_printf ("cpu %s, oneDNN %d.%d.%d, %u threads|%s%s%s%s%s %d %d %dx%d %d %dx%d "
      "k%d s%d p%d", processor_name (), v->major, v->minor, v->patch,
      grad_device_get_threads (device), names[direction],
      grad_device_get_precision (device) == GRAD_PRECISION_BF16 ? " bf16" : "",
      d->training ? "" : " inference", d->add ? " add" : "", d->relu ? " relu" : "", d->n, d->ic,
      d->ih, d->iw, d->oc, d->oh, d->ow, d->kernel, d->stride, d->padding);
}

static gboolean
way_supported (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    WayKind kind)
{
  switch (kind) {
    case WAY_DIRECT:
      return TRUE;
    case WAY_DIRECT_F32:
      return grad_onednn_activation (device, x_shape (d)).bf16
          || grad_onednn_activation (device, y_shape (d)).bf16;
    default:
      return grad_winograd_supports (device, d, direction);
  }
}

/* without timing: Winograd transforms the weights for each batch, which pays with many pixels */
static WayKind
rule (GradDevice * device, const GradConvDesc * d, GradConvDirection direction)
{
  gboolean many = (gint64) d->n * d->oh * d->ow >= (d->training ? 2048 : 512);

  return many && way_supported (device, d, direction, WAY_WINOGRAD) ? WAY_WINOGRAD : WAY_DIRECT;
}

static gboolean
way_new (GradDevice * device, const GradConvDesc * d, GradConvDirection direction, WayKind kind,
    const GradOnednn * forward, Way * way, GError ** error)
{
  if (kind == WAY_WINOGRAD)
    return (way->winograd = grad_winograd_new (device, d, direction, error)) != NULL;
  way->direct = direct_new (device, d, direction, kind == WAY_DIRECT, forward, error);
  return way->direct != NULL;
}

/* Makes all ways, keeps the fastest, and remembers it. */
static gboolean
measure (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    const GradOnednn *const *forward, const gchar * key, Way * way, GError ** error)
{
  Way ways[N_WAYS] = { {NULL} };
  gint fastest = -1;
  gboolean ok = TRUE;

  for (gint i = 0; i < N_WAYS && ok; i++)
    if (way_supported (device, d, direction, i))
      ok = way_new (device, d, direction, i, forward[i], &ways[i], error);
  if (ok)
    fastest = find_fastest (device, d, direction, ways, error);
  if (fastest >= 0) {
    g_autofree gchar *kept = grad_choice_keep (key, NULL, way_names[fastest]);

    for (gint i = 0; i < N_WAYS; i++)
      if (g_str_equal (kept, way_names[i]) && way_supported (device, d, direction, i))
        fastest = i;
    *way = ways[fastest];
    ways[fastest] = (Way) { NULL };
  }
  for (gint i = 0; i < N_WAYS; i++)
    way_clear (&ways[i]);
  return fastest >= 0;
}

/* `forward`: oneDNN's of each kind, for backward directions */
static gboolean
choose (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    const GradOnednn *const *forward, Way * way, GError ** error)
{
  WayKind kind = rule (device, d, direction);
  gint n_ways = 0;

  for (gint i = 0; i < N_WAYS; i++)
    n_ways += way_supported (device, d, direction, i);
  if (n_ways > 1 && !grad_device_settings (device)->deterministic) {
    g_autofree gchar *key = choice_key (device, d, direction), *choice = grad_choice_find (key);
    gint known = -1;

    for (gint i = 0; i < N_WAYS; i++)
      if (g_strcmp0 (choice, way_names[i]) == 0 && way_supported (device, d, direction, i))
        known = i;
    if (known < 0)
      return measure (device, d, direction, forward, key, way, error);
    kind = known;
  }
  return way_new (device, d, direction, kind, forward[kind], way, error);
}

static GradPlan *
conv_plan (GradDevice * device, const GradConvDesc * d, GError ** error)
{
  GradOnednn *forward[N_WAYS] = { NULL };
  gboolean ok;
  Plan *plan;

  GST_DEBUG_CATEGORY_INIT (grad_conv_debug, "gradconv", 0, "GradStreamer's convolutions");
  if (!grad_conv_desc_check (d, error))
    return NULL;
  plan = g_new0 (Plan, 1);
  plan->base = (GradPlan) {.device = device,.free = conv_free };
  plan->add = d->add;
  plan->y_size = y_size (device, d);
  ok = choose (device, d, GRAD_CONV_FORWARD, (const GradOnednn **) forward,
      &plan->ways[GRAD_CONV_FORWARD], error);
  if (ok && grad_conv_desc_has_backward (d)) {
    for (gint i = WAY_DIRECT; i <= WAY_DIRECT_F32 && ok; i++)
      if (way_supported (device, d, GRAD_CONV_FORWARD, i))
        ok = (forward[i] = direct_new (device, d, GRAD_CONV_FORWARD, i == WAY_DIRECT, NULL,
                error)) != NULL;
    for (gint i = GRAD_CONV_BACKWARD_DATA; i < GRAD_CONV_N_DIRECTIONS && ok; i++)
      ok = choose (device, d, i, (const GradOnednn **) forward, &plan->ways[i], error);
    for (gint i = 0; i < N_WAYS; i++)
      grad_onednn_free (forward[i]);
  }
  if (!ok) {
    conv_free (&plan->base);
    return NULL;
  }
  return &plan->base;
}

const GradConvOps grad_conv_cpu_ops = {
  .supports = conv_supports,
  .plan = conv_plan,
  .forward = conv_forward,
  .backward_data = conv_backward_data,
  .backward_weights = conv_backward_weights,
};
