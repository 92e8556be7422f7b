/* GradStreamer kernels: oneDNN primitives with all that they need, for versions 2.6 to 3.x
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/kernels.h"

#include <oneapi/dnnl/dnnl.h>

G_BEGIN_DECLS

/* What a primitive reads and writes. In a backward one, what it computes and DST are gradients. */
typedef enum
{
  GRAD_ONEDNN_SRC,
  GRAD_ONEDNN_WEIGHTS,
  GRAD_ONEDNN_BIAS,
  GRAD_ONEDNN_DST,
  GRAD_ONEDNN_N_SLOTS
} GradOnednnSlot;

typedef struct
{
  GradShape shape;              /* rank 0: the primitive does without */
  guint layout;                 /* of the tensor, GRAD_LAYOUT_… */
  gboolean bf16;                /* the primitive takes it as bfloat16, not as float */
  gboolean any;                 /* the primitive may choose another layout for itself */
} GradOnednnTensor;

typedef struct
{
  dnnl_primitive_kind_t kind;   /* dnnl_convolution or dnnl_inner_product */
  dnnl_prop_kind_t direction;   /* dnnl_forward_training, dnnl_backward_data, … */
  dnnl_alg_kind_t algorithm;    /* not for inner products */
  GradOnednnTensor tensors[GRAD_ONEDNN_N_SLOTS];
  gint stride, padding;
  gboolean add, relu;           /* forward: DST += result, then DST = max (DST, 0) */
  gboolean keep;                /* WEIGHTS, where they are reordered, are so only when they have changed */
} GradOnednnDesc;

/* A primitive with all that it needs: memory objects, and reorders for the tensors that it wants
 * in another layout or type. Buffers lie in scratch memory that all primitives of a device share.
 * It is made and runs in the device's compute thread, wherever these functions are called in a job. */
typedef struct _GradOnednn GradOnednn;

/* An activation lies as the device says, and is bfloat16 to the primitive where it is stored so and
 * oneDNN computes with that on this processor; a parameter lies outside as the device says, inside,
 * from rank 2 on, as oneDNN likes, and is float. */
GradOnednnTensor grad_onednn_activation (GradDevice * device, GradShape shape);
GradOnednnTensor grad_onednn_parameter (GradDevice * device, GradShape shape);

/* `forward` is the forward primitive of a backward one. */
GradOnednn *grad_onednn_new (GradDevice * device, const GradOnednnDesc * desc,
    const GradOnednn * forward, GError ** error);
/* whether it must bring activations into another layout, and not only into another type */
gboolean grad_onednn_reorders (const GradOnednn * self);
void grad_onednn_free (GradOnednn * self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (GradOnednn, grad_onednn_free)

/* Computes outputs = … from the storage of the tensors; with `accumulate`, gradients of WEIGHTS
 * and BIAS += …. */
gboolean grad_onednn_run (GradOnednn * self, const GradTensor * const tensors[GRAD_ONEDNN_N_SLOTS],
    gboolean accumulate, GError ** error);

G_END_DECLS
