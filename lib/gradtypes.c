/* GradStreamer: error domain and enumerations
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradtypes.h"

G_DEFINE_QUARK (grad-error-quark, grad_error);

static const GEnumValue phases[] = {
  {GRAD_PHASE_INFER, "Classify, no labels needed", "infer"},
  {GRAD_PHASE_TRAIN, "Train with batch statistics", "train"},
  {GRAD_PHASE_EVALUATE, "Measure loss and accuracy", "evaluate"},
  {0, NULL, NULL}
};

static const GEnumValue precisions[] = {
  {GRAD_PRECISION_DEFAULT, "f32 on CPUs, bf16 on GPUs", "default"},
  {GRAD_PRECISION_AUTO, "bf16 where the processor multiplies it, else f32", "auto"},
  {GRAD_PRECISION_F32, "32-bit floating point", "f32"},
  {GRAD_PRECISION_BF16, "bfloat16 with 32-bit master weights", "bf16"},
  {GRAD_PRECISION_TF32, "32-bit floating point, coarser products (GPUs)", "tf32"},
  {GRAD_PRECISION_INT8, "8-bit integer convolutions, inference only (CPUs)", "int8"},
  {0, NULL, NULL}
};

GType
grad_phase_get_type (void)
{
  static gsize type = 0;

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GradPhase", phases));
  return type;
}

GType
grad_precision_get_type (void)
{
  static gsize type = 0;

  if (g_once_init_enter (&type))
    g_once_init_leave (&type, g_enum_register_static ("GradPrecision", precisions));
  return type;
}

/**
 * grad_phase_to_string:
 * @phase: a phase
 *
 * Returns: (transfer none): "infer", "train" or "evaluate"
 */
const gchar *
grad_phase_to_string (GradPhase phase)
{
  return phases[phase].value_nick;
}

/**
 * grad_precision_to_string:
 * @precision: a number format
 *
 * Returns: (transfer none): as properties and files spell it: "f32"
 */
const gchar *
grad_precision_to_string (GradPrecision precision)
{
  return precisions[precision].value_nick;
}
