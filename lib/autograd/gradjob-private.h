/* GradStreamer: what each job of a unit takes, told to whoever listens
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradgraph.h"
#include "gradnode-private.h"

G_BEGIN_DECLS

typedef enum
{
  GRAD_JOB_FORWARD,             /* of a training step */
  GRAD_JOB_BACKWARD,
  GRAD_JOB_EVALUATE,
  GRAD_JOB_INFER,
  GRAD_JOB_MEASURE,             /* the norm of the gradient; the unit is the one that backward began with */
  GRAD_JOB_UPDATE,              /* of parameters; the same */
  GRAD_JOB_COMMIT,
  GRAD_JOB_PLAN,
  GRAD_N_JOBS
} GradJobKind;

/* One job of a unit, in a job of the device.
 *
 * FLOPs are those of convolutions and fully connected layers, as if computed directly: a
 * multiplication and an addition for each weight and each place that it is used at, padding
 * included. What else there is to compute is bounded by memory.
 *
 * Bytes are what any implementation moves: storage of all that the job is given, makes, keeps for
 * backward or has kept, and of the trainable parameters, once each. */
typedef struct
{
  GradJobKind kind;
  GradUnit *unit;               /* not owned; NULL when nobody listens */
  GstClockTime start, time;     /* nanoseconds */
  gdouble flops, bytes;
} GradJob;

/* Called at the end of the job, in its thread. */
typedef void (*GradJobFunc) (const GradJob * job, gpointer data);

/* There is at most one listener: FALSE when there is another. NULL ends the one with that data,
 * which is not called any more. */
GRAD_API gboolean grad_job_set_listener (GradJobFunc func, gpointer data);

gboolean grad_job_is_heard (void);

/* "layer1.0.conv1+bn1" by the names of its parameters, or what the class is called */
GRAD_API gchar *grad_unit_dup_name (GradUnit * unit);
/* FLOPs of a forward job, as below, of a unit that has its parameters */
gdouble grad_unit_count_flops (GradUnit * unit, const GradShape * input, const GradShape * output);
/* Different for each unit that there ever is in a process, in the order in which they are made. */
GRAD_API guint64 grad_unit_get_id (GradUnit * unit);
/* The element that it is part of, NULL without one; not owned: alive while it computes forward. */
GRAD_API gpointer grad_unit_get_owner (GradUnit * unit);
/* Its name, NULL without one; alive as long as the unit. */
const gchar *grad_unit_get_owner_name (GradUnit * unit);
GRAD_API GradDevice *grad_unit_get_device (GradUnit * unit);
GRAD_API void grad_unit_set_owner (GradUnit * unit, gpointer owner);

/* Around a job; nothing but one atomic load and some branches unless someone listens. Then a device
 * that computes on its own is waited for before and after it: end is FALSE with its error. */
void grad_job_begin (GradJob * job, GradJobKind kind, GradUnit * unit);
gboolean grad_job_end (GradJob * job, GError ** error);
gboolean grad_job_end_forward (GradJob * job, GradTensor * const *inputs, guint n_inputs,
    GradTensor * output, GradNode * node, GError ** error);
void grad_job_begin_backward (GradJob * job, GradNode * node, GradTensor * dy, gboolean dx_wanted);
/* bytes of the tensor, nullable, so many times */
void grad_job_add (GradJob * job, const GradTensor * tensor, guint times);

G_END_DECLS
