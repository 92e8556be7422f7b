/* GradStreamer: units wired together
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradunit.h"

G_BEGIN_DECLS

#define GRAD_TYPE_GRAPH (grad_graph_get_type ())
GRAD_API G_DECLARE_FINAL_TYPE (GradGraph, grad_graph, GRAD, GRAPH, GObject)

/**
 * GradBlock:
 * @GRAD_BLOCK_BASIC: two 3x3 convolutions
 * @GRAD_BLOCK_BOTTLENECK: 1x1, 3x3 and 1x1 convolutions, the inner ones with a quarter of the channels
 *
 * Kind of residual block (He et al., "Deep residual learning", 2015).
 */
typedef enum
{
  GRAD_BLOCK_BASIC,
  GRAD_BLOCK_BOTTLENECK
} GradBlock;

/**
 * GradShortcut:
 * @GRAD_SHORTCUT_CONV: 1x1 convolution, as in the book
 * @GRAD_SHORTCUT_CONV_NORM: 1x1 convolution and batch norm, as in torchvision
 *
 * What a shortcut does where shapes change.
 */
typedef enum
{
  GRAD_SHORTCUT_CONV,
  GRAD_SHORTCUT_CONV_NORM
} GradShortcut;

#define GRAD_TYPE_BLOCK (grad_block_get_type ())
#define GRAD_TYPE_SHORTCUT (grad_shortcut_get_type ())
GRAD_API GType grad_block_get_type (void);
GRAD_API GType grad_shortcut_get_type (void);

/* Values of a graph are numbered; this is its input. */
#define GRAD_GRAPH_INPUT 0

GRAD_API GradGraph *grad_graph_new (void);
GRAD_API guint grad_graph_add (GradGraph * graph, GradUnit * unit, guint input);
GRAD_API guint grad_graph_add2 (GradGraph * graph, GradUnit * unit, guint input, guint second);
GRAD_API guint grad_graph_add_stem (GradGraph * graph, guint input, const gchar * prefix,
    gint channels, gint kernel, gint stride, gboolean bias, gboolean pool);
GRAD_API guint grad_graph_add_residual (GradGraph * graph, guint input, const gchar * prefix,
    gint channels, gint stride, gboolean project, GradBlock block, GradShortcut shortcut,
    gboolean bias);

GRAD_API gboolean grad_graph_infer_shape (GradGraph * graph, const GradShape * input,
    GradShape * output, GError ** error);
GRAD_API gboolean grad_graph_prepare (GradGraph * graph, GradDevice * device,
    GradParameterStore * store, const GradShape * input, GradShape * output, GError ** error);
GRAD_API gboolean grad_graph_forward (GradGraph * graph, GradStep * step, gboolean urgent,
    const GradValue * input, GradValue * output, GError ** error);

G_END_DECLS
