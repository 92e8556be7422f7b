/* GradStreamer: layers one behind the other, without a pipeline
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradparameter.h"
#include "../device/graddevice-private.h"

G_BEGIN_DECLS

/* Elements that a unit of a stranger's network may make of one picture */
#define GRAD_LAYER_CHAIN_MAX_ELEMENTS (1 << 27)

typedef struct _GradLayerChain GradLayerChain;

/* layers: (transfer full): GradLayer elements; device and store outlive it */
GradLayerChain *grad_layer_chain_new (GPtrArray * layers, GradDevice * device, GradParameterStore * store);
/* For inputs of a shape; what is in the store is there for each layer before the next one is prepared. */
gboolean grad_layer_chain_prepare (GradLayerChain * chain, const GradShape * input, GradShape * output,
    GError ** error);
/* In a job: infers, prepared or not. (transfer full) (nullable) */
GradTensor *grad_layer_chain_run (GradLayerChain * chain, GradTensor * input, GError ** error);
/* Parameters have got other values, or other tensors. */
void grad_layer_chain_parameters_changed (GradLayerChain * chain);
void grad_layer_chain_free (GradLayerChain * chain);

G_END_DECLS
