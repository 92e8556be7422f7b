/* GradStreamer kernels: the graphs of cuDNN that a convolution is made of
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "kernels/cudnn.h"

G_BEGIN_DECLS

/* Whether cuDNN has kernels of ours' shape: channels that fill 16 bytes */
gboolean grad_conv_cudnn_supports (const GradConvDesc * desc, cudnnDataType_t type);

/* Not finished yet.
 *   forward, plain: y = conv (x, w)
 *   forward, fused: y = [relu] (conv (x, w) [+ residual] + b)
 *   backward data, backward filter: dx = …; dw = … */
GradCudnnGraph *grad_conv_cudnn_graph (const GradConvDesc * desc, cudnnDataType_t type,
    GradCudnnDirection direction, gboolean fused);

G_END_DECLS
