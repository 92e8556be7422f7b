/* GradStreamer: how to train, as properties of a sink
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradtrainstep.h"

static const GradTrainOptions defaults = GRAD_TRAIN_DEFAULTS;

/* Those that are numbers: guint, or gdouble from 0 on. most 0: no limit but the type's */
static const struct
{
  const gchar *name, *nick, *blurb;
  gsize offset;
  gboolean is_double;
  guint least, most;
  GParamFlags flags;
} numbers[] = {
#define UINT(name, nick, field, least, blurb) \
  { name, nick, blurb, G_STRUCT_OFFSET (GradTrainOptions, field), FALSE, least, 0, GRAD_PARAM_STATIC }
#define DOUBLE(name, nick, field, most, flags, blurb) \
  { name, nick, blurb, G_STRUCT_OFFSET (GradTrainOptions, field), TRUE, 0, most, flags }
  DOUBLE ("learning-rate", "Learning rate", learning_rate, 0,
      GRAD_PARAM_PLAYING | GST_PARAM_CONTROLLABLE, "Step size, the largest one of the schedule"),
  UINT ("warmup-steps", "Warm-up steps", schedule.warmup_steps, 0, "Steps in which the learning rate "
      "rises in a straight line, before the schedule begins"),
  UINT ("schedule-step-size", "Schedule step size", schedule.step_size, 1, "Epochs after each of "
      "which schedule=step changes the learning rate"),
  DOUBLE ("schedule-gamma", "Schedule gamma", schedule.gamma, 0, GRAD_PARAM_STATIC, "What "
      "schedule=step multiplies the learning rate with"),
  DOUBLE ("clip-norm", "Clip norm", clip_norm, 0, GRAD_PARAM_STATIC, "Largest norm of the gradient "
      "over all parameters: one that is longer is made shorter; 0 for no limit"),
  UINT ("accumulate", "Accumulate", accumulate, 1, "Batches in a step, which is made with the mean "
      "gradient of all their samples; the last step of an epoch has those that are left"),
  DOUBLE ("ema", "Moving average", ema, 1, GRAD_PARAM_STATIC, "Decay, below 1, of an exponential "
      "moving average of the weights and running statistics, which is what is evaluated and saved; 0 "
      "for none"),
};

void
grad_train_options_install (GObjectClass * klass, guint offset)
{
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++) {
    gconstpointer value = G_STRUCT_MEMBER_P (&defaults, numbers[i].offset);
    GParamSpec *pspec = numbers[i].is_double
        ? g_param_spec_double (numbers[i].name, numbers[i].nick, numbers[i].blurb, 0,
        numbers[i].most ? numbers[i].most : G_MAXDOUBLE, *(const gdouble *) value, numbers[i].flags)
        : g_param_spec_uint (numbers[i].name, numbers[i].nick, numbers[i].blurb, numbers[i].least,
        G_MAXUINT, *(const guint *) value, numbers[i].flags);

    g_object_class_install_property (klass, offset + numbers[i].offset, pspec);
  }
  g_object_class_install_property (klass, offset + G_STRUCT_OFFSET (GradTrainOptions, schedule.schedule),
      g_param_spec_enum ("schedule", "Schedule", "Course of the learning rate over the run",
          GRAD_TYPE_SCHEDULE, defaults.schedule.schedule, GRAD_PARAM_STATIC));
  gst_type_mark_as_plugin_api (GRAD_TYPE_SCHEDULE, 0);
}
