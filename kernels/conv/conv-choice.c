/* GradStreamer kernels: which way a convolution goes on the cpu device: timed once and remembered, or by a rule
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conv-way.h"
#include "kernels/choices.h"
#include "lib/device/gradcpudevice-private.h"

#include <string.h>
#if defined (__x86_64__)
#include <cpuid.h>
#endif

GST_DEBUG_CATEGORY_STATIC (grad_conv_debug);
#define GST_CAT_DEFAULT grad_conv_debug

#define N_RUNS 3                /* that are timed, after one that is not */

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
  GradShape x = GRAD_SHAPE (d->n, d->ic, d->ih, d->iw), y = GRAD_SHAPE (d->n, d->oc, d->oh, d->ow);
  GradShape w = GRAD_SHAPE (d->oc, d->ic, d->kernel, d->kernel), b = GRAD_SHAPE (d->oc);

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
      GST_INFO ("%s takes %" G_GINT64_FORMAT " us", grad_conv_way_name (i), best[i]);
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

/* without timing: Winograd transforms the weights for each batch, which pays with many pixels, and with stride 2, where backward
 * ones are far from what multiplications take, with fewer; with few of them it is reading the weights that counts. To the weights
 * of a stem oneDNN has nothing fast, nor for the small pictures of a batch. */
static GradConvWayKind
rule (GradDevice * device, const GradConvDesc * d, GradConvDirection direction)
{
  gboolean many = (gint64) d->n * d->oh * d->ow >= (d->training ? 2048 : 512) / d->stride;

  if (many && grad_conv_way_supported (device, d, direction, GRAD_CONV_WINOGRAD))
    return GRAD_CONV_WINOGRAD;
  if (grad_conv_way_supported (device, d, direction, GRAD_CONV_IM2COL))
    return GRAD_CONV_IM2COL;
  if (d->n >= 16 && grad_conv_way_supported (device, d, direction, GRAD_CONV_PIXELWISE))
    return GRAD_CONV_PIXELWISE;
  if (!grad_conv_is_small (d) || !grad_conv_way_supported (device, d, direction, GRAD_CONV_DIRECT))
    return GRAD_CONV_ONEDNN;
  return grad_conv_way_supported (device, d, direction, GRAD_CONV_DIRECT_BF16) ? GRAD_CONV_DIRECT_BF16
      : GRAD_CONV_DIRECT;
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
    if (grad_conv_way_supported (device, d, direction, i))
      ok = grad_conv_way_new (device, d, direction, i, hints, &ways[i], error);
  leave_reorders (ways);
  if (ok)
    fastest = find_fastest (device, d, direction, ways, error);
  if (fastest >= 0) {
    g_autofree gchar *kept = grad_choice_keep (key, known, grad_conv_way_name (fastest));

    for (gint i = 0; i < GRAD_CONV_N_WAYS; i++)
      if (g_str_equal (kept, grad_conv_way_name (i)) && ways[i].self != NULL)
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
    n_ways += grad_conv_way_supported (device, d, direction, i);
  if (n_ways > 1 && !grad_device_settings (device)->deterministic) {
    g_autofree gchar *key = choice_key (device, d, direction), *choice = grad_choice_find (key);

    for (kind = 0; kind < GRAD_CONV_N_WAYS; kind++)
      if (g_strcmp0 (choice, grad_conv_way_name (kind)) == 0 && grad_conv_way_supported (device, d, direction, kind))
        break;
    if (kind == GRAD_CONV_N_WAYS)
      return measure (device, d, direction, hints, key, choice, way, error);
  }
  return grad_conv_way_new (device, d, direction, kind, hints, way, error);
}
