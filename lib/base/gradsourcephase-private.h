/* GradStreamer: what a source makes its batches for
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../autograd/gradnetwork.h"

G_BEGIN_DECLS

/* As it is asked for */
typedef enum
{
  GRAD_SOURCE_AUTO,
  GRAD_SOURCE_TRAIN,
  GRAD_SOURCE_EVALUATE,
  GRAD_SOURCE_INFER
} GradSourcePhase;

#define GRAD_TYPE_SOURCE_PHASE (grad_source_phase_get_type ())
GType grad_source_phase_get_type (void);

/* What the passes over the data are for; FALSE when network or data are not fit for that. */
gboolean grad_source_phase_choose (GradSourcePhase asked, GradNetwork * network,
    gboolean has_labels, GradPhase * phase, GError ** error);

G_END_DECLS
