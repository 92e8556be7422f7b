/* GradStreamer: what every element does with the bus, its device and errors
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../autograd/gradbus.h"

G_BEGIN_DECLS

/**
 * GRAD_PARAM_STRUCTURAL:
 *
 * Flag of properties that say what the network is (channels, kernel size …). They are written to model files.
 */
#define GRAD_PARAM_STRUCTURAL GST_PARAM_USER_SHIFT       /* which is a flag, not a shift */

/* Flags of properties that can be set up to READY, or always. An element has their defaults from the beginning. */
#define GRAD_PARAM_STATIC \
  ((GParamFlags) (G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY))
#define GRAD_PARAM_PLAYING \
  ((GParamFlags) (G_PARAM_READWRITE | G_PARAM_CONSTRUCT | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING))

#define GRAD_BELOW_1 0.999999   /* the largest decay of an average: 1 would never take anything in */

/* For classes whose properties are fields, read and written under the object lock: a property's id is where the
 * field is, G_STRUCT_OFFSET() or G_PRIVATE_OFFSET(). Strings are owned. */
GRAD_API void grad_element_class_init_properties (GObjectClass * object_class);
GRAD_API void grad_element_set_property (GObject * object, guint id, const GValue * value,
    GParamSpec * pspec);
GRAD_API void grad_element_get_property (GObject * object, guint id, GValue * value,
    GParamSpec * pspec);

GRAD_API void grad_element_join_bus (GstElement * element, GradBus ** bus);
GRAD_API void grad_element_leave_bus (GradBus ** bus);
GRAD_API gboolean grad_element_query_context (GstElement * element, GstQuery * query,
    GradBus * bus);
GRAD_API GradDevice *grad_element_open_device (GstElement * element, GradBus * bus,
    GError ** error);
GRAD_API gboolean grad_element_fail (gpointer element, GError * error);
GRAD_API void grad_query_add_latency (GstQuery * query, GstClockTime latency);

/**
 * GRAD_DATASET_EVENT:
 *
 * Name of the sticky event by which a source tells what downstream must know: train-samples, test-samples,
 * train-batches, test-batches, epochs, batch-size (uint), shuffle (boolean), source (uint64; as in #GradSampleMeta), trains (boolean;
 * whether it has batches to train with), class-names (string, separated by commas, may be
 * empty), width, height (int), and what gradresize adds: input-width, input-height (int), mean, std (string).
 */
#define GRAD_DATASET_EVENT "grad-dataset"

GRAD_API const GstStructure *grad_event_parse_dataset (GstEvent * event);

G_END_DECLS
