/* GradStreamer: parameters of a network
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../device/graddevice.h"

G_BEGIN_DECLS

/**
 * GradParameterKind:
 * @GRAD_PARAMETER_TRAINABLE: weight or bias: has a gradient and is updated by the optimizer
 * @GRAD_PARAMETER_STATISTIC: running mean or variance
 * @GRAD_PARAMETER_COUNTER: number of batches that a running statistic has seen; no tensor
 */
typedef enum
{
  GRAD_PARAMETER_TRAINABLE,
  GRAD_PARAMETER_STATISTIC,
  GRAD_PARAMETER_COUNTER
} GradParameterKind;

/**
 * GradInit:
 * @GRAD_INIT_ZEROS: all 0
 * @GRAD_INIT_ONES: all 1
 * @GRAD_INIT_UNIFORM_FAN_IN: uniform in ±1/sqrt(fan_in): PyTorch's kaiming_uniform with a = sqrt 5,
 *   and its default for biases
 *
 * How a parameter starts when no file says it.
 */
typedef enum
{
  GRAD_INIT_ZEROS,
  GRAD_INIT_ONES,
  GRAD_INIT_UNIFORM_FAN_IN
} GradInit;

/**
 * GradParameter:
 * @name: name in the model file, as torchvision spells it: "layer1.0.conv1.weight"
 * @kind: what it is
 * @shape: its shape; a counter has rank 0
 * @value: (nullable): the values; %NULL for a counter
 * @grad: (nullable): gradient of the loss; %NULL before the first backward
 * @dead: its gradient is zero by construction (bias in front of a batch norm)
 * @count: value of a counter; else how many updates it has had, which @m and @v are of
 * @step: number of the step that has raised @count last
 * @m: (nullable): first moment or momentum, owned by the optimizer's bookkeeping
 * @v: (nullable): second moment
 * @own: (nullable): with an average, the values in training; @value is these or @average
 * @average: (nullable): mean of the values over the last updates
 * @rate_scale: what the learning rate is multiplied with
 * @layer: (nullable): name of the element that it belongs to
 *
 * Belongs to its store; read and written only by whoever has the step.
 */
struct _GradParameter
{
  gchar *name;
  GradParameterKind kind;
  GradShape shape;
  GradTensor *value;
  GradTensor *grad;
  gboolean dead;
  gint64 count;
  guint64 step;
  GradTensor *m, *v;
  GradTensor *own, *average;
  gdouble rate_scale;
  gchar *layer;
};

#define GRAD_TYPE_PARAMETER_STORE (grad_parameter_store_get_type ())
GRAD_API G_DECLARE_FINAL_TYPE (GradParameterStore, grad_parameter_store, GRAD, PARAMETER_STORE, GObject)

GRAD_API GradParameterStore *grad_parameter_store_new (void);
GRAD_API void grad_parameter_store_set_seed (GradParameterStore * store, guint64 seed);
GRAD_API gboolean grad_parameter_store_set_source (GradParameterStore * store,
    const gchar * location, GError ** error);
GRAD_API gboolean grad_parameter_store_resume (GradParameterStore * store,
    const gchar * location, GError ** error);
GRAD_API const gchar *grad_parameter_store_get_source (GradParameterStore * store);
GRAD_API GradParameter *grad_parameter_store_add (GradParameterStore * store,
    GradDevice * device, const gchar * name, GradParameterKind kind, const GradShape * shape,
    GradInit init, gsize fan_in, GError ** error);
GRAD_API GradParameter *grad_parameter_store_find (GradParameterStore * store,
    const gchar * name);
GRAD_API guint grad_parameter_store_get_n_parameters (GradParameterStore * store);
GRAD_API GradParameter *grad_parameter_store_get_parameter (GradParameterStore * store,
    guint index);
GRAD_API gsize grad_parameter_store_count_values (GradParameterStore * store);
GRAD_API gboolean grad_parameter_store_load (GradParameterStore * store,
    const gchar * location, GError ** error);
GRAD_API gboolean grad_parameter_store_save (GradParameterStore * store,
    const gchar * location, GHashTable * metadata, GError ** error);

G_END_DECLS
