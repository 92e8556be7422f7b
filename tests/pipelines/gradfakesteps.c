/* GradStreamer tests: a sink that posts what the optimizer sink posts, without any network
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <gst/base/gstbasesink.h>

#define TRAIN 3                 /* buffers of an epoch: training … */
#define EVALUATE 1              /* … and evaluation */

typedef struct
{
  GstBaseSink parent;
  guint epochs;
  gint fault;                   /* buffer from which on it goes wrong, -1: never */
  gboolean fatal;
  guint n;
} FakeSteps;
typedef GstBaseSinkClass FakeStepsClass;

enum
{
  PROP_EPOCHS = 1,
  PROP_FAULT,
  PROP_FATAL
};

GType fake_steps_get_type (void);
G_DEFINE_TYPE (FakeSteps, fake_steps, GST_TYPE_BASE_SINK);

static GstStaticPadTemplate sink_template = GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK,
    GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);

static void
post (FakeSteps * self, GstStructure * structure)
{
  gst_element_post_message (GST_ELEMENT (self),
      gst_message_new_element (GST_OBJECT (self), structure));
}

static void
post_epoch (FakeSteps * self, const gchar * phase, guint epoch)
{
  post (self, gst_structure_new ("grad-epoch", "phase", G_TYPE_STRING, phase,
          "epoch", G_TYPE_UINT, epoch, "samples", G_TYPE_UINT64, (guint64) 768,
          "loss", G_TYPE_DOUBLE, 0.5 / epoch, "accuracy", G_TYPE_DOUBLE, 1 - 0.25 / epoch,
          "seconds", G_TYPE_DOUBLE, 1.0 * epoch, NULL));
}

static GstFlowReturn
fake_steps_render (GstBaseSink * sink, GstBuffer * buffer)
{
  FakeSteps *self = (FakeSteps *) sink;
  guint epoch = self->n / (TRAIN + EVALUATE) + 1, batch = self->n % (TRAIN + EVALUATE) + 1;
  gboolean train = batch <= TRAIN;

  if ((gint) self->n == self->fault && self->fatal) {
    GST_ELEMENT_ERROR (self, STREAM, FAILED, ("no more steps"), ("at buffer %u", self->n));
    return GST_FLOW_ERROR;
  }
  if (self->fault >= 0 && (gint) self->n >= self->fault)
    GST_ELEMENT_WARNING (self, STREAM, FAILED, ("steep steps"), (NULL));
  self->n++;
  post (self, gst_structure_new ("grad-step",
          "phase", G_TYPE_STRING, train ? "train" : "evaluate", "epoch", G_TYPE_UINT, epoch,
          "epochs", G_TYPE_UINT, self->epochs, "step", G_TYPE_UINT64, (guint64) self->n,
          "batch", G_TYPE_UINT, train ? batch : batch - TRAIN,
          "batches", G_TYPE_UINT, train ? TRAIN : EVALUATE, "samples", G_TYPE_UINT, 256,
          "loss", G_TYPE_DOUBLE, 0.5, "accuracy", G_TYPE_DOUBLE, 0.75,
          "images-per-second", G_TYPE_DOUBLE, 182.0, "seconds-left", G_TYPE_DOUBLE, 41.0, NULL));
  if (batch == TRAIN)
    post_epoch (self, "train-epoch", epoch);
  else if (batch == TRAIN + EVALUATE)
    post_epoch (self, "evaluate", epoch);
  return GST_FLOW_OK;
}

static GstStateChangeReturn
fake_steps_change_state (GstElement * element, GstStateChange transition)
{
  FakeSteps *self = (FakeSteps *) element;
  GstStateChangeReturn ret;

  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED)
    post (self, gst_structure_new ("grad-device", "name", G_TYPE_STRING, "fake",
            "precision", G_TYPE_STRING, "f32", "threads", G_TYPE_UINT, 2, NULL));
  ret = GST_ELEMENT_CLASS (fake_steps_parent_class)->change_state (element, transition);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_READY)
    post (self, gst_structure_new ("grad-saved", "location", G_TYPE_STRING, "fake.safetensors",
            "step", G_TYPE_UINT64, (guint64) self->n, NULL));
  return ret;
}

static void
fake_steps_set_property (GObject * object, guint id, const GValue * value, GParamSpec * pspec)
{
  FakeSteps *self = (FakeSteps *) object;

  if (id == PROP_EPOCHS)
    self->epochs = g_value_get_uint (value);
  else if (id == PROP_FAULT)
    self->fault = g_value_get_int (value);
  else
    self->fatal = g_value_get_boolean (value);
}

static void
fake_steps_class_init (FakeStepsClass * klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GstElementClass *element_class = GST_ELEMENT_CLASS (klass);

  object_class->set_property = fake_steps_set_property;
  g_object_class_install_property (object_class, PROP_EPOCHS,
      g_param_spec_uint ("epochs", "Epochs", "What it says to be the number of epochs", 1, 99, 2,
          G_PARAM_WRITABLE | G_PARAM_CONSTRUCT));
  g_object_class_install_property (object_class, PROP_FAULT,
      g_param_spec_int ("fault", "Fault", "Buffer from which on it goes wrong, -1 for never", -1,
          G_MAXINT, -1, G_PARAM_WRITABLE | G_PARAM_CONSTRUCT));
  g_object_class_install_property (object_class, PROP_FATAL,
      g_param_spec_boolean ("fatal", "Fatal", "Fail with an error instead of warning", FALSE,
          G_PARAM_WRITABLE));
  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_set_static_metadata (element_class, "Fake steps", "Sink/Test",
      "Posts the messages of a training", "GradStreamer");
  element_class->change_state = fake_steps_change_state;
  klass->render = fake_steps_render;
}

static void
fake_steps_init (FakeSteps * self)
{
  gst_base_sink_set_sync (GST_BASE_SINK (self), FALSE);
}

static gboolean
plugin_init (GstPlugin * plugin)
{
  return gst_element_register (plugin, "fakesteps", GST_RANK_NONE, fake_steps_get_type ());
}

#ifndef PACKAGE
#define PACKAGE PACKAGE_NAME
#endif
GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, gradfakesteps, "Test element",
    plugin_init, PACKAGE_VERSION, "LGPL", PACKAGE_NAME, PACKAGE_ORIGIN)
