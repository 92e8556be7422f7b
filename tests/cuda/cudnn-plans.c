/* Tests of kernels/cudnn.h without a GPU: cuDNN builds plans for one that it only has the
 * properties of
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * Every convolution of ResNet-18 must get a plan, fused ones too, from an engine that is allowed.
 * Nothing runs. */
#include "kernels/conv/conv-cudnn.h"

#include <stdlib.h>

/* As cuDNN writes them for an H200. cuDNN documents no names; another version may want others,
 * then tests are skipped. */
static const gchar h200[] = "{"
    "\"deviceName\": \"NVIDIA H200\", \"cudaDeviceId\": 0, \"deviceVer\": 900, "
    "\"driverVer\": 13000, "
    "\"multiProcessorCount\": 132, \"warpSize\": 32, \"totalGlobalMem\": 150754820096, "
    "\"maxGridSize\": [2147483647, 65535, 65535], \"maxBlockSize\": [1024, 1024, 64], "
    "\"maxThreadsPerBlock\": 1024, \"maxThreadsPerSM\": 2048, \"maxCtasPerSM\": 32, "
    "\"regsPerBlock\": 65536, \"maxRegistersPerSM\": 65536, \"maxSharedMemoryPerBlock\": 49152, "
    "\"maxSharedMemoryPerBlockOptin\": 232448, \"reservedSharedMemoryPerBlock\": 1024, "
    "\"l2CacheSize\": 62914560, \"smClockRateKHz\": 1980000, \"memClockRateKHz\": 3201000, "
    "\"pciDeviceId\": 9013, \"isTccDriver\": 0, \"supportCoopLaunch\": 1}";

/* ResNet-18 on pictures of 96x96, but for its stem: channels, rows and columns, channels, kernel,
 * stride */
static const gint convs[][5] = {
  {64, 24, 64, 3, 1},
  {64, 24, 128, 3, 2}, {64, 24, 128, 1, 2}, {128, 12, 128, 3, 1},
  {128, 12, 256, 3, 2}, {128, 12, 256, 1, 2}, {256, 6, 256, 3, 1},
  {256, 6, 512, 3, 2}, {256, 6, 512, 1, 2}, {512, 3, 512, 3, 1},
};

static GradConvDesc
conv_desc (gint n, const gint * c)
{
  GradConvDesc d = {.n = n,.ic = c[0],.ih = c[1],.iw = c[1],.oc = c[2],.kernel = c[3],
    .stride = c[4],.padding = c[3] / 2
  };

  d.oh = d.ow = (d.ih + 2 * d.padding - d.kernel) / d.stride + 1;
  return d;
}

/* NULL, and the test is skipped, where cuDNN does not take the properties */
static GradCudnn *
open_h200 (GradPrecision precision)
{
  g_autoptr (GError) error = NULL;
  GradCudnn *cudnn = grad_cudnn_new_without_gpu (h200, precision, &error);

  if (cudnn == NULL)
    g_test_skip (error->message);
  return cudnn;
}

static cudnnDataType_t
data_type (GradCudnn * cudnn)
{
  return cudnn->precision == GRAD_PRECISION_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

static GradCudnnGraph *
finished (GradCudnn * cudnn, const GradConvDesc * d, GradCudnnDirection direction, gboolean fused)
{
  g_autoptr (GError) error = NULL;
  GradCudnnGraph *graph = grad_conv_cudnn_graph (d, data_type (cudnn), direction, fused);

  grad_cudnn_graph_finish (graph, cudnn, &error);
  g_assert_no_error (error);
  return graph;
}

/* There is a plan; and its choice, which is text, leads to the same one. */
static void
check_plan (GradCudnn * cudnn, const GradConvDesc * d, GradCudnnDirection direction,
    gboolean fused, const gchar * what)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GradCudnnGraph) graph = finished (cudnn, d, direction, fused);
  g_autoptr (GradCudnnPlan) plan = grad_cudnn_plan_new (cudnn, graph, &error), again = NULL;
  const gchar *choice;

  g_assert_no_error (error);
  choice = grad_cudnn_plan_get_choice (plan);
  g_test_message ("%s %d -> %d, %dx%d, %dx%d/%d, batch %d: engine %s, workspace %" G_GSIZE_FORMAT,
      what, d->ic, d->oc, d->ih, d->iw, d->kernel, d->kernel, d->stride, d->n, choice,
      grad_cudnn_plan_get_workspace (plan));
  again = grad_cudnn_plan_new_chosen (cudnn, graph, choice, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (grad_cudnn_plan_get_workspace (again), ==,
      grad_cudnn_plan_get_workspace (plan));
}

static void
test_resnet18 (gconstpointer precision)
{
  static const gint batches[] = { 256, 96 };
  GradCudnn *cudnn = open_h200 (GPOINTER_TO_INT (precision));

  for (guint i = 0; cudnn != NULL && i < G_N_ELEMENTS (batches) * G_N_ELEMENTS (convs); i++) {
    GradConvDesc d = conv_desc (batches[i % 2], convs[i / 2]);

    g_assert_true (grad_conv_cudnn_supports (&d, data_type (cudnn)));
    check_plan (cudnn, &d, GRAD_CUDNN_FORWARD, FALSE, "forward");
    check_plan (cudnn, &d, GRAD_CUDNN_BACKWARD_DATA, FALSE, "backward data");
    check_plan (cudnn, &d, GRAD_CUDNN_BACKWARD_FILTER, FALSE, "backward filter");
    check_plan (cudnn, &d, GRAD_CUDNN_FORWARD, TRUE, "forward + bias");
    d.relu = TRUE;
    check_plan (cudnn, &d, GRAD_CUDNN_FORWARD, TRUE, "forward + bias + ReLU");
    d.add = TRUE;
    check_plan (cudnn, &d, GRAD_CUDNN_FORWARD, TRUE, "forward + residual + bias + ReLU");
    d.relu = FALSE;
    check_plan (cudnn, &d, GRAD_CUDNN_FORWARD, TRUE, "forward + residual + bias");
  }
  grad_cudnn_free (cudnn);
}

/* more than one to choose from; no two alike */
static void
test_candidates (gconstpointer precision)
{
  GradCudnn *cudnn = open_h200 (GPOINTER_TO_INT (precision));

  for (guint i = 0; cudnn != NULL && i < 3; i++) {
    GradConvDesc d = conv_desc (256, convs[3]);
    g_autoptr (GError) error = NULL;
    g_autoptr (GradCudnnGraph) graph = finished (cudnn, &d, i, FALSE);
    g_autoptr (GPtrArray) plans = grad_cudnn_plan_candidates (cudnn, graph, FALSE, &error);

    g_assert_no_error (error);
    g_test_message ("%s: %u plans", graph->text->str, plans->len);
    g_assert_cmpuint (plans->len, >=, 3);
    for (guint a = 0; a < plans->len; a++)
      for (guint b = 0; b < a; b++)
        g_assert_cmpstr (grad_cudnn_plan_get_choice (plans->pdata[a]), !=,
            grad_cudnn_plan_get_choice (plans->pdata[b]));
  }
  grad_cudnn_free (cudnn);
}

/* What cannot be says so in cuDNN's words. */
static void
test_refused (void)
{
  GradCudnn *cudnn = open_h200 (GRAD_PRECISION_BF16);
  GradConvDesc wrong = conv_desc (8, convs[0]), right = wrong;
  const gchar *const choices[] = { "99999", "62 2", "62 2=x", "62 2=", "62 2=4;",
    "62 ", "", "0 1000=1", "-1"
  };

  if (cudnn == NULL)
    return;
  wrong.oh = 99;
  for (guint i = 0; i < 1 + G_N_ELEMENTS (choices); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GradCudnnGraph) graph =
        grad_conv_cudnn_graph (i == 0 ? &wrong : &right, data_type (cudnn), GRAD_CUDNN_FORWARD,
        FALSE);
    gboolean ok = grad_cudnn_graph_finish (graph, cudnn, &error);

    if (i > 0) {
      g_assert_no_error (error);
      ok = grad_cudnn_plan_new_chosen (cudnn, graph, choices[i - 1], &error) != NULL;
    }
    g_assert_false (ok);
    g_test_message ("%s", error->message);
    g_assert_cmpint (error->domain, ==, GRAD_ERROR);
  }
  grad_cudnn_free (cudnn);
}

int
main (int argc, char **argv)
{
  gst_init (&argc, &argv);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cudnn/refused", test_refused);
#define ADD(name, precision) \
  g_test_add_data_func ("/cudnn/" name "/candidates", GINT_TO_POINTER (precision), \
      test_candidates); \
  g_test_add_data_func ("/cudnn/" name "/resnet18", GINT_TO_POINTER (precision), test_resnet18)
  ADD ("bf16", GRAD_PRECISION_BF16);
  ADD ("f32", GRAD_PRECISION_F32);
  ADD ("tf32", GRAD_PRECISION_TF32);
  return g_test_run ();
}
