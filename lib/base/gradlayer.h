/* GradStreamer: base class of the elements that are stages of a network
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradtransform.h"
#include "../autograd/gradgraph.h"
#include "../autograd/gradsamplemeta.h"

G_BEGIN_DECLS

#define GRAD_TYPE_LAYER (grad_layer_get_type ())
GRAD_API G_DECLARE_DERIVABLE_TYPE (GradLayer, grad_layer, GRAD, LAYER, GradTransform)

/**
 * GradLayerClass:
 * @parent_class: parent
 * @prefix_kind: (nullable): kind of default param-prefix ("layer", "fc", ""), or %NULL for a layer without
 *   parameters
 * @check: optional: whether the input fits the properties, with an error that names both
 * @build: adds the layer's units to an empty graph
 * @before: optional: before each forward; %FALSE in @compute passes the input on untouched
 * @after: optional: after each forward
 *
 * A layer is a graph of units. The base class does turns, tape, parameters and buffers.
 */
struct _GradLayerClass
{
  GradTransformClass parent_class;

  const gchar *prefix_kind;
  gboolean (*check) (GradLayer * layer, const GradShape * input, GError ** error);
  void (*build) (GradLayer * layer, GradGraph * graph, const gchar * prefix);
  gboolean (*before) (GradLayer * layer, GradSampleMeta * sample, gboolean * compute,
      GError ** error);
  void (*after) (GradLayer * layer, GstBuffer * out);

  gpointer padding[GST_PADDING];
};

GRAD_API GradNetwork *grad_layer_peek_network (GradLayer * layer);
GRAD_API GradGraph *grad_layer_new_graph (GradLayer * layer, GradNetwork * network,
    gchar ** prefix);

G_END_DECLS
