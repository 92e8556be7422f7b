/* GradStreamer kernels: cuDNN's graph interface (cudnnBackend…), as far as convolutions need it
 * SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A graph is tensors and the operations between them. cuDNN's heuristics name engines that can
 * compute it, each with settings, "knobs"; engine and knobs together, which cuDNN calls a
 * configuration, are what we choose and remember. Built, it is a plan, which runs with a pointer
 * for every tensor.
 *
 * Graphs are made in one of the forms for which cuDNN has compiled kernels. Engines that compile
 * kernels when a plan is built are left out: that takes a second each, at every start. So are
 * those that sum in an order that changes from run to run, or in less than float; and with
 * precision f32 those that use tensor cores, which would round to tf32. */
#pragma once

#include "kernels/kernels.h"

#include <cudnn.h>

G_BEGIN_DECLS

/* Where plans are built: a handle on a device's stream; belongs to the device, used in its
 * jobs. Or, for tests on machines without a GPU, the properties of one: such plans
 * cannot run. */
typedef struct _GradCudnn GradCudnn;
struct _GradCudnn
{
  GradDevice *device;           /* not owned */
  cudnnHandle_t handle;
  cudnnBackendDescriptor_t properties;  /* instead of device and handle */
  gchar *gpu;
  GradPrecision precision;
  gboolean deterministic;       /* no choice may depend on timing */
};

GradCudnn *grad_cudnn_new (GradDevice * device, cudaStream_t stream, const gchar * gpu,
    GError ** error);
/* properties: what CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION takes; wants cuDNN 9.8 or newer */
GradCudnn *grad_cudnn_new_without_gpu (const gchar * properties, GradPrecision precision,
    GError ** error);
void grad_cudnn_free (GradCudnn * self);

GstDebugCategory *grad_cudnn_debug_category (void);

/* FALSE, and an error with cuDNN's own words, unless status is success. What cuDNN does not
 * support is GRAD_ERROR_UNSUPPORTED. */
gboolean grad_cudnn_check (cudnnStatus_t status, const gchar * what, GError ** error);

/* Tensors of a graph, as unique ids. The last ones are virtual: what one operation hands to the
 * next, never in memory. */
typedef enum
{
  GRAD_CUDNN_NONE,
  GRAD_CUDNN_X,                 /* or dx */
  GRAD_CUDNN_W,                 /* or dw */
  GRAD_CUDNN_BIAS,
  GRAD_CUDNN_RESIDUAL,
  GRAD_CUDNN_Y,                 /* or dy */
  GRAD_CUDNN_N_POINTERS,
  GRAD_CUDNN_SUM_1 = GRAD_CUDNN_N_POINTERS,
  GRAD_CUDNN_SUM_2,
  GRAD_CUDNN_SUM_3,
  GRAD_CUDNN_N_TENSORS
} GradCudnnTensor;

typedef enum
{
  GRAD_CUDNN_FORWARD, GRAD_CUDNN_BACKWARD_DATA, GRAD_CUDNN_BACKWARD_FILTER
} GradCudnnDirection;

/* Calls that build a graph do nothing after one of them has failed; grad_cudnn_graph_finish()
 * tells. */
typedef struct
{
  cudnnDataType_t type;         /* of tensors in memory; virtual ones, and arithmetic, are float */
  cudnnBackendDescriptor_t tensors[GRAD_CUDNN_N_TENSORS];
  gsize sizes[GRAD_CUDNN_N_POINTERS];   /* bytes, 0: not there */
  GPtrArray *operations, *others;
  cudnnBackendDescriptor_t graph;       /* when finished */
  GString *text;                /* all there is to say about it: choices are remembered by it */
  GError *error;
} GradCudnnGraph;

GradCudnnGraph *grad_cudnn_graph_new (cudnnDataType_t type);
/* (N, C, H, W), which lies as (N, H, W, C); a filter is (O, I, H, W) and lies as (O, H, W, I) */
void grad_cudnn_graph_tensor (GradCudnnGraph * self, GradCudnnTensor id, gint n, gint c, gint h,
    gint w);
void grad_cudnn_graph_conv (GradCudnnGraph * self, GradCudnnDirection direction, gint stride,
    gint padding, GradCudnnTensor x, GradCudnnTensor w, GradCudnnTensor y);
/* y = a + b, where b may have only channels, or y = max (a, 0) without b; NaN stays NaN */
void grad_cudnn_graph_add (GradCudnnGraph * self, GradCudnnTensor a, GradCudnnTensor b,
    GradCudnnTensor y);
void grad_cudnn_graph_relu (GradCudnnGraph * self, GradCudnnTensor a, GradCudnnTensor y);
gboolean grad_cudnn_graph_finish (GradCudnnGraph * self, GradCudnn * cudnn, GError ** error);
void grad_cudnn_graph_free (GradCudnnGraph * self);

typedef struct _GradCudnnPlan GradCudnnPlan;

/* Plans that the heuristics propose, the most promising first: never none, but NULL and
 * GRAD_ERROR_UNSUPPORTED. */
GPtrArray *grad_cudnn_plan_candidates (GradCudnn * cudnn, GradCudnnGraph * graph,
    gboolean first_only, GError ** error);
/* The fastest plan: the one remembered for this graph, or several are timed. With
 * `deterministic`, and without a GPU, the one that the heuristics put first. */
GradCudnnPlan *grad_cudnn_plan_new (GradCudnn * cudnn, GradCudnnGraph * graph, GError ** error);
/* The plan of a choice, as grad_cudnn_plan_get_choice() wrote it */
GradCudnnPlan *grad_cudnn_plan_new_chosen (GradCudnn * cudnn, GradCudnnGraph * graph,
    const gchar * choice, GError ** error);
/* Enqueues it. pointers has GRAD_CUDNN_N_POINTERS elements, aligned to 16 bytes. */
gboolean grad_cudnn_plan_run (GradCudnnPlan * plan, const gpointer * pointers, GError ** error);
/* "engine knob=value knob=value …", numbers all */
const gchar *grad_cudnn_plan_get_choice (GradCudnnPlan * plan);
gsize grad_cudnn_plan_get_workspace (GradCudnnPlan * plan);
void grad_cudnn_plan_free (GradCudnnPlan * plan);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradCudnnGraph, grad_cudnn_graph_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradCudnnPlan, grad_cudnn_plan_free)

G_END_DECLS
