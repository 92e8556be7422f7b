/* GradStreamer: what a source makes its batches for
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradsourcephase-private.h"

GType
grad_source_phase_get_type (void)
{
  static gsize type = 0;
  static const GEnumValue values[] = {
    {GRAD_SOURCE_AUTO, "Train if there is an optimizer, else evaluate", "auto"},
    {GRAD_SOURCE_TRAIN, "Train, and evaluate after each epoch", "train"},
    {GRAD_SOURCE_EVALUATE, "Measure loss and accuracy", "evaluate"},
    {GRAD_SOURCE_INFER, "Classify", "infer"},
    {0, NULL, NULL}
  };

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GradSourcePhase", values));
  return type;
}

gboolean
grad_source_phase_choose (GradSourcePhase asked, GradNetwork * network, gboolean has_labels,
    GradPhase * phase, GError ** error)
{
  gboolean optimizer = grad_network_has_optimizer (network);

  if (asked == GRAD_SOURCE_AUTO)
    asked = optimizer ? GRAD_SOURCE_TRAIN : has_labels ? GRAD_SOURCE_EVALUATE : GRAD_SOURCE_INFER;
  *phase = asked == GRAD_SOURCE_TRAIN ? GRAD_PHASE_TRAIN
      : asked == GRAD_SOURCE_EVALUATE ? GRAD_PHASE_EVALUATE : GRAD_PHASE_INFER;
  if (asked == GRAD_SOURCE_TRAIN && !optimizer)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "phase=train, but network \"%s\" has no "
        "optimizer: end the pipeline with gradadamsink, or use phase=evaluate or infer",
        grad_network_get_name (network));
  else if (asked != GRAD_SOURCE_INFER && !has_labels)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS,
        "to %s, set labels to the file with the labels of location", grad_phase_to_string (*phase));
  else
    return TRUE;
  return FALSE;
}
