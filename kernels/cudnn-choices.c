/* GradStreamer kernels: which of cuDNN's plans is fastest: measured once and remembered
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A choice that no longer builds, or does not run, is measured anew; what does not run on scratch memory is never taken. */
#include "kernels/choices.h"
#include "kernels/cudnn.h"
#include "lib/device/gradcudadevice-private.h"

#define GST_CAT_DEFAULT grad_cudnn_debug_category ()

#define N_RUNS 3                /* that are timed, after one that is not */
#define NAP 200                 /* us in which all of them are asked for */

static gint
compare_floats (gconstpointer a, gconstpointer b)
{
  return *(const gfloat *) a < *(const gfloat *) b ? -1 : *(const gfloat *) a > *(const gfloat *) b;
}

static void CUDART_CB
nap (gpointer unused)
{
  g_usleep (NAP);
}

/* Milliseconds. The stream waits until all runs are asked for, or what is short would take as long as the host takes to ask. */
static gboolean
time_plan (GradCudnnPlan * plan, GradDevice * device, const gpointer * pointers,
    cudaEvent_t * events, gfloat * median, GError ** error)
{
  cudaStream_t stream = grad_cuda_device_stream (device);
  gfloat times[N_RUNS];

  if (!grad_cudnn_plan_run (plan, pointers, error))
    return FALSE;
  if (!grad_cuda_check (device, cudaLaunchHostFunc (stream, nap, NULL), "timing a plan", error))
    return FALSE;
  for (guint i = 0; i <= N_RUNS; i++)
    if (!grad_cuda_check (device, cudaEventRecord (events[i], stream), "recording an event", error)
        || (i < N_RUNS && !grad_cudnn_plan_run (plan, pointers, error)))
      return FALSE;
  if (!grad_cuda_check (device, cudaEventSynchronize (events[N_RUNS]), "timing a plan", error))
    return FALSE;
  for (guint i = 0; i < N_RUNS; i++)
    if (!grad_cuda_check (device, cudaEventElapsedTime (&times[i], events[i], events[i + 1]),
            "timing a plan", error))
      return FALSE;
  qsort (times, N_RUNS, sizeof *times, compare_floats);
  *median = times[N_RUNS / 2];
  return TRUE;
}

static gboolean
runs (GradCudnnPlan * plan, GradDevice * device, const gpointer * pointers, GError ** error)
{
  return grad_cudnn_plan_run (plan, pointers, error)
      && grad_cuda_check (device, cudaStreamSynchronize (grad_cuda_device_stream (device)), "trying a plan", error);
}

/* The index of the fastest plan, or with first of the first one that runs; else, not timed, that of the first one that only lacked memory, or -1 when none can be run */
static gint
find_fastest (GPtrArray * plans, GradDevice * device, const gpointer * pointers,
    const gchar * what, gboolean first, gboolean * timed)
{
  cudaEvent_t events[N_RUNS + 1] = { NULL };
  gfloat best = G_MAXFLOAT, ms = 0;
  gint fastest = -1, hungry = -1;
  gboolean ok = TRUE;

  for (guint i = 0; i <= N_RUNS; i++)
    ok = ok && cudaEventCreateWithFlags (&events[i], cudaEventDefault) == cudaSuccess;
  for (guint i = 0; i < plans->len && ok && !(first && fastest >= 0); i++) {
    g_autoptr (GError) error = NULL;
    const gchar *choice = grad_cudnn_plan_get_choice (plans->pdata[i]);

    if (first ? !runs (plans->pdata[i], device, pointers, &error)
        : !time_plan (plans->pdata[i], device, pointers, events, &ms, &error)) {
      GST_INFO ("%s: %s cannot be run: %s", what, choice, error->message);
      if (hungry < 0 && g_error_matches (error, GRAD_ERROR, GRAD_ERROR_NO_MEMORY))
        hungry = i;
      continue;
    }
    GST_DEBUG ("%s: %s takes %.4f ms", what, choice, ms);
    if (ms < best) {
      best = ms;
      fastest = i;
    }
  }
  for (guint i = 0; i <= N_RUNS; i++)
    if (events[i] != NULL)
      cudaEventDestroy (events[i]);
  cudaGetLastError ();          /* or the next launch would report what was tried here */
  if (fastest >= 0 && !first)
    GST_INFO ("%s: %s takes %.4f ms, the best of %u", what,
        grad_cudnn_plan_get_choice (plans->pdata[fastest]), best, plans->len);
  *timed = fastest >= 0;
  return *timed ? fastest : ok ? hungry : 0;
}

/* The index of the fastest or the first, which did run, on scratch memory full of numbers near 0.01: 0x3c3c is one of bf16, 0x3c3c3c3c is one
 * of float. -1 when none ran; without memory to try them nobody knows, and it is the first. */
static gint
try_plans (GradCudnn * cudnn, GradCudnnGraph * graph, GPtrArray * plans, gboolean first, gboolean * timed)
{
  GradDevice *device = cudnn->device;
  gpointer pointers[GRAD_CUDNN_N_POINTERS] = { NULL };
  gsize capacities[GRAD_CUDNN_N_POINTERS];
  g_autoptr (GError) error = NULL;
  gint fastest = 0;

  *timed = FALSE;
  for (guint i = 0; i < GRAD_CUDNN_N_POINTERS && error == NULL; i++)
    if (graph->sizes[i] > 0
        && (pointers[i] = grad_device_pool_get (device, graph->sizes[i], &capacities[i], &error)))
      grad_cuda_check (device, cudaMemsetAsync (pointers[i], 0x3c, graph->sizes[i],
              grad_cuda_device_stream (device)), "filling scratch memory", &error);
  if (error == NULL)
    fastest = find_fastest (plans, device, pointers, graph->text->str, first, timed);
  else
    GST_INFO ("%s: plans cannot be tried: %s", graph->text->str, error->message);
  for (guint i = 0; i < GRAD_CUDNN_N_POINTERS; i++)
    if (pointers[i] != NULL)
      grad_device_pool_put (device, pointers[i], capacities[i]);
  return fastest;
}

/* That which is remembered, if it still builds and runs */
static GradCudnnPlan *
plan_new_remembered (GradCudnn * cudnn, GradCudnnGraph * graph, const gchar * choice)
{
  g_autoptr (GPtrArray) plans = g_ptr_array_new_with_free_func ((GDestroyNotify) grad_cudnn_plan_free);
  g_autoptr (GError) why = NULL;
  GradCudnnPlan *plan = grad_cudnn_plan_new_chosen (cudnn, graph, choice, &why);
  gboolean timed;

  if (plan != NULL) {
    g_ptr_array_add (plans, plan);
    if (try_plans (cudnn, graph, plans, TRUE, &timed) == 0)
      return g_ptr_array_steal_index (plans, 0);
  }
  GST_INFO ("%s: the remembered %s cannot be had: %s", graph->text->str, choice, why ? why->message : "it does not run");
  return NULL;
}

static gchar *
choice_key (GradCudnn * cudnn, GradCudnnGraph * graph)
{
  return g_strdup_printf ("cudnn %" G_GSIZE_FORMAT "|%s|%s|%s", cudnnGetVersion (), cudnn->gpu,
      cudnn->precision == GRAD_PRECISION_BF16 ? "bf16"
      : cudnn->precision == GRAD_PRECISION_TF32 ? "tf32" : "f32", graph->text->str);
}

GradCudnnPlan *
grad_cudnn_plan_new (GradCudnn * cudnn, GradCudnnGraph * graph, GError ** error)
{
  gboolean timed = cudnn->device != NULL && !cudnn->deterministic, ran = FALSE;
  g_autofree gchar *key = choice_key (cudnn, graph);
  g_autofree gchar *choice = timed ? grad_choice_find (key) : NULL;
  g_autoptr (GPtrArray) plans = NULL;
  GradCudnnPlan *plan = choice ? plan_new_remembered (cudnn, graph, choice) : NULL;
  gint fastest = 0;

  if (plan != NULL)
    return plan;
  plans = grad_cudnn_plan_candidates (cudnn, graph, !timed, error);
  if (plans == NULL)
    return NULL;
  if (cudnn->device != NULL)
    fastest = try_plans (cudnn, graph, plans, !timed, &ran);
  if (fastest < 0) {
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_UNSUPPORTED, "none of cuDNN's plans for %s runs", graph->text->str);
    return NULL;
  }
  if (timed && ran) {
    g_autofree gchar *kept = grad_choice_keep (key, choice,
        grad_cudnn_plan_get_choice (plans->pdata[fastest]));

    for (guint i = 0; i < plans->len; i++)
      if (g_str_equal (grad_cudnn_plan_get_choice (plans->pdata[i]), kept))
        fastest = i;
  }
  return g_ptr_array_steal_index (plans, fastest);
}
