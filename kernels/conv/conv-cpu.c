/* GradStreamer kernels: 2D convolution on the cpu device, by oneDNN and by Winograd's algorithm
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 *   x, dx: (N, I, IH, IW), y, dy, residual: (N, O, OH, OW), in the device's layout
 *   w, dw: (O, I, kernel, kernel), b, db: (O)
 *   (where oneDNN has no fast code for the device's layout, as from 24 channels to 32, it also
 *   reorders activations)
 *   y =, dx =, dw = or +=, db = or +=
 *
 * Each direction goes the faster way: timed once, remembered by grad_choice_keep(). With
 * `deterministic` a rule decides. Results are the same each time for a given number of threads: on
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

/* how one direction is computed: one of them */
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

/* `forward` is the forward one of a backward one */
static GradOnednn *
direct_new (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    const GradOnednn * forward, GError ** error)
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
  return grad_onednn_new (device, &desc, forward, error);
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

/* Microseconds of both ways, the shortest of some runs, which take turns. */
static gboolean
time_ways (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    const Way * both, gint64 * direct, gint64 * winograd, GError ** error)
{
  Plan plan = {.base = {.device = device },.y_size = 0 };
  gint64 *times[] = { direct, winograd };
  GradShape y = y_shape (d);
  Scratch scratch = { NULL };
  gboolean ok = scratch_new (device, d, &scratch, error);

  plan.add = d->add;
  plan.y_size = grad_shape_n_elements (&y) * sizeof (gfloat);
  *direct = *winograd = G_MAXINT64;
  plan.ways[GRAD_CONV_BACKWARD_WEIGHTS] = *both;        /* says that there is a backward */
  for (gint i = 0; i < 2 * (1 + N_RUNS) && ok; i++) {
    gint64 start = g_get_monotonic_time ();

    plan.ways[direction] = i % 2 ? (Way) {.winograd = both->winograd} : (Way) {.direct = both->direct};
    ok = run (&plan, direction, d, &scratch, error);
    if (i >= 2)
      *times[i % 2] = MIN (*times[i % 2], g_get_monotonic_time () - start);
  }
  scratch_clear (&scratch);
  return ok;
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
  const dnnl_version_t *v = dnnl_version ();

  return g_strdup_printf ("cpu %s, oneDNN %d.%d.%d, %u threads|%s%s%s%s %d %d %dx%d %d %dx%d p%d",
      processor_name (), v->major, v->minor, v->patch, grad_device_get_threads (device),
      direction == GRAD_CONV_FORWARD ? "conv" : direction == GRAD_CONV_BACKWARD_DATA ? "dgrad" : "wgrad",
      d->training ? "" : " infer", d->add ? "+add" : "", d->relu ? "+relu" : "", d->n, d->ic, d->ih,
      d->iw, d->oc, d->oh, d->ow, d->padding);
}

/* without timing: weights are transformed for each batch, which pays with many pixels */
static gboolean
prefer_winograd (const GradConvDesc * d)
{
  return d->n * d->oh * d->ow >= (d->training ? 2048 : 512);
}

/* Fills in the faster way, or the only one. */
static gboolean
choose (GradDevice * device, const GradConvDesc * d, GradConvDirection direction,
    const GradOnednn * forward, Way * way, GError ** error)
{
  gboolean timed = !grad_device_settings (device)->deterministic, winograd;
  g_autofree gchar *key = NULL, *choice = NULL;
  Way both = { NULL };
  gboolean ok = TRUE;

  if (!grad_winograd_supports (d, direction))
    return (way->direct = direct_new (device, d, direction, forward, error)) != NULL;
  if (timed) {
    key = choice_key (device, d, direction);
    choice = grad_choice_find (key);
  }
  winograd = choice ? g_str_equal (choice, "winograd") : prefer_winograd (d);
  if (winograd || (timed && !choice))
    ok = (both.winograd = grad_winograd_new (device, d, direction, error)) != NULL;
  if (!winograd || (timed && !choice))
    ok = ok && (both.direct = direct_new (device, d, direction, forward, error)) != NULL;
  if (ok && timed && !choice) {
    gint64 direct_us, winograd_us;

    ok = time_ways (device, d, direction, &both, &direct_us, &winograd_us, error);
    if (ok) {
      GST_INFO ("%s: Winograd %" G_GINT64_FORMAT " us, direct %" G_GINT64_FORMAT " us", key,
          winograd_us, direct_us);
      choice = grad_choice_keep (key, NULL, winograd_us < direct_us ? "winograd" : "direct");
      winograd = g_str_equal (choice, "winograd");
    }
  }
  if (ok && winograd)
    way->winograd = g_steal_pointer (&both.winograd);
  else if (ok)
    way->direct = g_steal_pointer (&both.direct);
  way_clear (&both);
  return ok;
}

static GradPlan *
conv_plan (GradDevice * device, const GradConvDesc * d, GError ** error)
{
  GradShape y = y_shape (d);
  GradOnednn *forward = NULL;
  gboolean ok;
  Plan *plan;

  GST_DEBUG_CATEGORY_INIT (grad_conv_debug, "gradconv", 0, "GradStreamer's convolutions");
  if (!grad_conv_desc_check (d, error))
    return NULL;
  plan = g_new0 (Plan, 1);
  plan->base = (GradPlan) {.device = device,.free = conv_free };
  plan->add = d->add;
  plan->y_size = grad_shape_n_elements (&y) * sizeof (gfloat);
  ok = choose (device, d, GRAD_CONV_FORWARD, NULL, &plan->ways[GRAD_CONV_FORWARD], error);
  if (ok && grad_conv_desc_has_backward (d)) {
    forward = direct_new (device, d, GRAD_CONV_FORWARD, NULL, error);
    ok = forward != NULL;
    for (gint i = GRAD_CONV_BACKWARD_DATA; i < GRAD_CONV_N_DIRECTIONS && ok; i++)
      ok = choose (device, d, i, forward, &plan->ways[i], error);
    grad_onednn_free (forward);
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
