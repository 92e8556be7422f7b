/* GradStreamer: units wired together
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradgraph-private.h"
#include "gradunit-private.h"

G_DEFINE_FINAL_TYPE (GradGraph, grad_graph, G_TYPE_OBJECT);

GType
grad_block_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {GRAD_BLOCK_BASIC, "Two 3x3 convolutions", "basic"},
    {GRAD_BLOCK_BOTTLENECK, "1x1, 3x3 and 1x1 convolutions", "bottleneck"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GradBlock", values));
  return type;
}

GType
grad_shortcut_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {GRAD_SHORTCUT_CONV, "1x1 convolution, as in the book", "conv"},
    {GRAD_SHORTCUT_CONV_NORM, "1x1 convolution and batch norm, as in torchvision", "conv-norm"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GradShortcut", values));
  return type;
}

/**
 * grad_graph_new:
 *
 * Returns: (transfer full): a graph whose output is its input
 */
GradGraph *
grad_graph_new (void)
{
  return g_object_new (GRAD_TYPE_GRAPH, NULL);
}

static guint
add (GradGraph * self, GradWire wire)
{
  g_array_append_val (self->wires, wire);
  self->varies |= GRAD_UNIT_GET_CLASS (wire.unit)->varies;
  return self->wires->len;
}

/**
 * grad_graph_add:
 * @graph: a graph
 * @unit: (transfer full): a unit of one input
 * @input: number of the value that it takes
 *
 * Returns: number of the value that it makes; the last one is the graph's output
 */
guint
grad_graph_add (GradGraph * graph, GradUnit * unit, guint input)
{
  return add (graph, (GradWire) { unit, 1, {input} });
}

/**
 * grad_graph_add2:
 * @graph: a graph
 * @unit: (transfer full): a unit of two inputs
 * @input: number of the first value that it takes
 * @second: number of the second one
 *
 * Returns: number of the value that it makes
 */
guint
grad_graph_add2 (GradGraph * graph, GradUnit * unit, guint input, guint second)
{
  return add (graph, (GradWire) { unit, 2, {input, second} });
}

void
grad_graph_set_owner (GradGraph * graph, gpointer owner)
{
  for (guint i = 0; i < graph->wires->len; i++)
    grad_unit_set_owner (g_array_index (graph->wires, GradWire, i).unit, owner);
}

void
grad_graph_set_training (GradGraph * graph, gboolean frozen, gdouble rate_scale)
{
  for (guint i = 0; i < graph->wires->len; i++) {
    GradUnit *unit = g_array_index (graph->wires, GradWire, i).unit;

    grad_unit_set_frozen (unit, frozen);
    for (guint k = 0; k < grad_unit_get_n_parameters (unit); k++)
      grad_unit_get_parameter (unit, k)->rate_scale = rate_scale;
  }
}

void
grad_graph_set_limit (GradGraph * graph, gsize elements)
{
  graph->limit = elements;
}

static gchar *
join (const gchar * prefix, const gchar * name)
{
  return *prefix ? g_strconcat (prefix, ".", name, NULL) : g_strdup (name);
}

/* conv + norm (+ add) + ReLU named PREFIX.convI, PREFIX.bnI */
static GradUnit *
conv_norm_relu (const gchar * prefix, gint i, gint channels, gint kernel, gint stride,
    gboolean bias, gboolean residual)
{
  g_autofree gchar *conv = g_strdup_printf ("conv%d", i), *conv_name = join (prefix, conv);
  g_autofree gchar *norm = g_strdup_printf ("bn%d", i), *norm_name = join (prefix, norm);

  return grad_conv_unit_new (conv_name, norm_name, channels, kernel, stride, kernel / 2, bias,
      residual, TRUE);
}

/**
 * grad_graph_add_stem:
 * @graph: a graph
 * @input: number of the value that it takes: (N, C, H, W)
 * @prefix: prefix of the parameter names, "" for none
 * @channels: output channels
 * @kernel: rows and columns of the kernel, odd
 * @stride: stride of the convolution
 * @bias: whether the convolution has a bias
 * @pool: whether a 3x3 max pooling of stride 2 ends it
 *
 * Adds convolution, batch norm, ReLU and max pooling.
 *
 * Returns: number of the value that it makes
 */
guint
grad_graph_add_stem (GradGraph * graph, guint input, const gchar * prefix, gint channels,
    gint kernel, gint stride, gboolean bias, gboolean pool)
{
  GradUnit *unit = conv_norm_relu (prefix, 1, channels, kernel, stride, bias, FALSE);

  if (pool)
    grad_conv_unit_set_pool (unit, 3, 2, 1);
  return grad_graph_add (graph, unit, input);
}

/**
 * grad_graph_add_residual:
 * @graph: a graph
 * @input: number of the value that it takes: (N, C, H, W)
 * @prefix: prefix of the parameter names: "layer1.0"
 * @channels: output channels
 * @stride: stride of the 3x3 convolution that may halve the size, and of the shortcut
 * @project: whether the shortcut is a 1x1 convolution; otherwise it is the input itself
 * @block: kind of block
 * @shortcut: kind of projection
 * @bias: whether convolutions have a bias
 *
 * Adds a residual block.
 *
 * Returns: number of the value that it makes
 */
guint
grad_graph_add_residual (GradGraph * graph, guint input, const gchar * prefix, gint channels,
    gint stride, gboolean project, GradBlock block, GradShortcut shortcut, gboolean bias)
{
  guint x = input, skip = input;

  if (project) {
    g_autofree gchar *conv = join (prefix, "downsample.0");
    g_autofree gchar *norm =
        shortcut == GRAD_SHORTCUT_CONV_NORM ? join (prefix, "downsample.1") : NULL;

    skip = grad_graph_add (graph,
        grad_conv_unit_new (conv, norm, channels, 1, stride, 0, bias, FALSE, FALSE), input);
  }
  if (block == GRAD_BLOCK_BASIC) {
    x = grad_graph_add (graph, conv_norm_relu (prefix, 1, channels, 3, stride, bias, FALSE), x);
    return grad_graph_add2 (graph, conv_norm_relu (prefix, 2, channels, 3, 1, bias, TRUE), x,
        skip);
  }
  x = grad_graph_add (graph, conv_norm_relu (prefix, 1, channels / 4, 1, 1, bias, FALSE), x);
  x = grad_graph_add (graph, conv_norm_relu (prefix, 2, channels / 4, 3, stride, bias, FALSE), x);
  return grad_graph_add2 (graph, conv_norm_relu (prefix, 3, channels, 1, 1, bias, TRUE), x, skip);
}

static gboolean
check_limit (GradGraph * self, const GradShape * shape, GError ** error)
{
  g_autofree gchar *text = NULL;

  if (self->limit == 0 || (grad_shape_is_valid (shape)
          && grad_shape_n_elements (shape) / shape->dims[0] <= self->limit))
    return TRUE;
  text = grad_shape_to_string (shape);
  g_set_error (error, GRAD_ERROR, GRAD_ERROR_SHAPE, "it makes %s of its input: more than %"
      G_GSIZE_FORMAT " values per sample are not allowed here", text, self->limit);
  return FALSE;
}

/* Shapes of all values from the input's; prepares the units, too, when there is a store. */
static gboolean
walk_shapes (GradGraph * self, GradDevice * device, GradParameterStore * store,
    const GradShape * input, GradShape * output, gdouble * flops, GError ** error)
{
  g_autofree GradShape *shapes = g_new (GradShape, self->wires->len + 1);

  shapes[GRAD_GRAPH_INPUT] = *input;
  for (guint i = 0; i < self->wires->len; i++) {
    GradWire *w = &g_array_index (self->wires, GradWire, i);
    GradShape in[2] = { shapes[w->inputs[0]], shapes[w->inputs[1]] };

    if (!(store ? grad_unit_prepare (w->unit, device, store, in, w->n_inputs, &shapes[i + 1], error)
            : grad_unit_infer_shape (w->unit, in, w->n_inputs, &shapes[i + 1], error))
        || !check_limit (self, &shapes[i + 1], error))
      return FALSE;
    if (flops != NULL)
      *flops += grad_unit_count_flops (w->unit, &in[0], &shapes[i + 1]);
  }
  *output = shapes[self->wires->len];
  return TRUE;
}

/**
 * grad_graph_infer_shape:
 * @graph: a graph
 * @input: shape of its input
 * @output: (out): shape of its output
 * @error: location of a #GError
 *
 * Says what shape comes out, without preparing anything.
 *
 * Returns: %FALSE when a shape does not fit, with the error of grad_unit_infer_shape()
 */
gboolean
grad_graph_infer_shape (GradGraph * graph, const GradShape * input, GradShape * output,
    GError ** error)
{
  return walk_shapes (graph, NULL, NULL, input, output, NULL, error);
}

/**
 * grad_graph_prepare:
 * @graph: a graph
 * @device: where it computes
 * @store: where its parameters are
 * @input: shape of its input
 * @output: (out): shape of its output
 * @error: location of a #GError
 *
 * Prepares all units, as grad_unit_prepare().
 *
 * Returns: %FALSE when a shape does not fit or a parameter cannot be had, with the error of grad_unit_prepare()
 */
gboolean
grad_graph_prepare (GradGraph * graph, GradDevice * device, GradParameterStore * store,
    const GradShape * input, GradShape * output, GError ** error)
{
  return walk_shapes (graph, device, store, input, output, NULL, error);
}

gboolean
grad_graph_describe (GradGraph * graph, GradParameterStore * store, const GradShape * input,
    GradShape * output, gdouble * flops, GError ** error)
{
  *flops = 0;
  return walk_shapes (graph, NULL, store, input, output, flops, error);
}

static void
clear_wire (gpointer wire)
{
  g_object_unref (((GradWire *) wire)->unit);
}

static void
grad_graph_finalize (GObject * object)
{
  GradGraph *self = GRAD_GRAPH (object);

  grad_runs_free (self->runs);
  g_array_unref (self->wires);
  G_OBJECT_CLASS (grad_graph_parent_class)->finalize (object);
}

static void
grad_graph_class_init (GradGraphClass * klass)
{
  G_OBJECT_CLASS (klass)->finalize = grad_graph_finalize;
}

static void
grad_graph_init (GradGraph * self)
{
  self->wires = g_array_new (FALSE, FALSE, sizeof (GradWire));
  g_array_set_clear_func (self->wires, clear_wire);
}
