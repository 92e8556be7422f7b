/* GradStreamer: inside of a network
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

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
  gboolean applied;
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
  GHashTable *prefixes;         /* kind -> how many were given out */
  GradModel *model;             /* owned; NULL until it has trained */
  GradPosition start;

  gint warned;                  /* atomic: that its weights are random */

  /* of whoever has the step */
  GPtrArray *tape;              /* nodes of the last backward, in order */
  GHashTable *graded;           /* set of the parameters that have a gradient of this step; not owned */
  guint64 n_updates;

  GMutex values;                /* held by who changes parameters or statistics, and by who copies them */
  gboolean half;                /* values: parameters have had the update that statistics have not */
};

/* For elements, which join the bus of their pipeline at NULL to READY and leave it at READY to NULL. */
GradBus *grad_bus_new_for_run (void);
gboolean grad_bus_join (GradBus * bus);
void grad_bus_leave (GradBus * bus);

/* Called in the thread that runs backward: a parameter's gradient is final. */
void grad_bus_announce (GradBus * bus, GradNetwork * network, GradParameter * parameter);

G_END_DECLS
