/* GradStreamer: how to train, as properties of a sink
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradtrainstep.h"

void
grad_train_options_install (GObjectClass * klass, guint offset)
{
#define OFFSET(field) offset + G_STRUCT_OFFSET (GradTrainOptions, field)
  g_object_class_install_property (klass, OFFSET (learning_rate),
      g_param_spec_double ("learning-rate", "Learning rate", "Step size, the largest one of the "
          "schedule", 0, G_MAXDOUBLE, 0.001, GRAD_PARAM_PLAYING | GST_PARAM_CONTROLLABLE));
  g_object_class_install_property (klass, OFFSET (schedule.schedule),
      g_param_spec_enum ("schedule", "Schedule", "Course of the learning rate over the run",
          GRAD_TYPE_SCHEDULE, GRAD_SCHEDULE_CONSTANT, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, OFFSET (schedule.warmup_steps),
      g_param_spec_uint ("warmup-steps", "Warm-up steps", "Steps in which the learning rate rises in a "
          "straight line, before the schedule begins", 0, G_MAXUINT, 0, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, OFFSET (schedule.step_size),
      g_param_spec_uint ("schedule-step-size", "Schedule step size", "Epochs after each of which "
          "schedule=step changes the learning rate", 1, G_MAXUINT, 30, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, OFFSET (schedule.gamma),
      g_param_spec_double ("schedule-gamma", "Schedule gamma", "What schedule=step multiplies the "
          "learning rate with", 0, G_MAXDOUBLE, 0.1, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, OFFSET (clip_norm),
      g_param_spec_double ("clip-norm", "Clip norm", "Largest norm of the gradient over all "
          "parameters: one that is longer is made shorter; 0 for no limit", 0, G_MAXDOUBLE, 0,
          GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, OFFSET (ema),
      g_param_spec_double ("ema", "Moving average", "Decay, below 1, of an exponential moving average "
          "of the weights and running statistics, which is what is evaluated and saved; 0 for none", 0,
          GRAD_BELOW_1, 0, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, OFFSET (accumulate),
      g_param_spec_uint ("accumulate", "Accumulate", "Batches in a step, which is made with the mean "
          "gradient of all their samples; the last step of an epoch has those that are left", 1,
          G_MAXUINT, 1, GRAD_PARAM_STATIC));
#undef OFFSET
  gst_type_mark_as_plugin_api (GRAD_TYPE_SCHEDULE, 0);
}
