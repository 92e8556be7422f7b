/* GradStreamer: inside of a network
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../device/gradruns.h"
#include "gradhistory-private.h"
#include "gradnetwork.h"
#include "gradnode-private.h"

G_BEGIN_DECLS

/* The open record of one training micro-batch. Held by tape nodes alone; the network points to it without
 * holding it, so that the last node to go closes it as aborted. */
struct _GradStep
{
  guint ref_count;              /* guarded by the network's lock */
  GradNetwork *network;         /* owned */
  guint64 source, sequence;
};

struct _GradNetwork
{
  GObject parent;

  gchar *name;
  GradParameterStore *store;
  GradBus *bus;                 /* not owned, NULL without a pipeline: the bus owns its networks */

  GMutex lock;                  /* guards the following */
  GCond turn;
  gpointer optimizer;           /* identity */
  GradStep *open;               /* not owned */
  GHashTable *applied;          /* source -> last sequence number applied */
  GHashTable *evaluated;        /* the same of batches to evaluate that were let in */
  GHashTable *prefixes;         /* kind -> how many were given out */
  GradModel *model;             /* owned; NULL until it has trained */
  GradPosition start;

  GradHistory *history;         /* owned; has a lock of its own */

  gint warned;                  /* atomic: that its weights are random */

  /* of whoever has the step */
  GPtrArray *tape;              /* nodes of the step's batches, in the order of forward */
  GHashTable *graded;           /* set of the parameters that have a gradient of this step; not owned */
  GradRuns *runs;               /* of backward; NULL until the first one */
  guint64 n_updates;
  guint n_batches, n_samples;   /* of the step, as far as backward has come */
  guint divisor;                /* of their gradients: samples of the step's first batch */
  gdouble decay;                /* of the average, 0: none */

  /* what the device says of the last gradient, see grad_network_settle() */
  GradMeasured *measured;       /* owned; NULL until then */
  gboolean unsettled;           /* nobody has looked */
  guint measured_batches;
  gchar *loss_name;             /* of the element */

  GMutex values;                /* held by who changes parameters or statistics, and by who copies them */
  gboolean half;                /* values: parameters have had the update that statistics have not */
};

/* The parameters that have a gradient of this step, in the order in which they were added: (transfer container). */
GPtrArray *grad_network_list_graded (GradNetwork * network);
/* That backward began with, or NULL. */
GradUnit *grad_network_get_root_unit (GradNetwork * network);

/* Lets go of what is recorded of backward, and of the units that it belongs to. */
void grad_network_forget_runs (GradNetwork * network);

/* Running statistics have taken in a step: so do their averages, if there are any. */
gboolean grad_network_average_statistics (GradNetwork * network, GError ** error);

/* What a gradient of n samples is divided by; they are added to those of the step when it is there. */
gdouble grad_step_get_divisor (GradStep * step, guint n_samples);
void grad_step_add_samples (GradStep * step, guint n_samples);
/* of the last update */
guint64 grad_step_get_number (GradStep * step);

/* For elements, which join the bus of their pipeline at NULL to READY and leave it at READY to NULL. */
GradBus *grad_bus_new_for_run (void);
gboolean grad_bus_join (GradBus * bus);
void grad_bus_leave (GradBus * bus);

/* Called in the thread that runs backward: a parameter's gradient is final. */
gboolean grad_bus_is_heard (GradBus * bus);
void grad_bus_announce (GradBus * bus, GradNetwork * network, GradParameter * parameter);

/* What an element's model-name stands for */
static inline const gchar *
grad_network_name_or_main (const gchar * name)
{
  return name != NULL && *name != '\0' ? name : "main";
}

/* Whether the node is of the batch whose turn it is, which has not been applied yet. */
gboolean grad_network_is_open (GradNetwork * network, const GradNode * root);
/* What is open is of a stream that is over, and somebody keeps a buffer of it. */
void grad_network_forget_open (GradNetwork * network);

G_END_DECLS
