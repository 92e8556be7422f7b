/* GradStreamer: what a unit implements
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "../device/gradruns.h"
#include "gradunit.h"
#include "gradjob-private.h"
#include "kernels/kernels.h"

G_BEGIN_DECLS

#define GRAD_UNIT_MAX_INPUTS 2

typedef enum
{
  GRAD_UNIT_INFER,              /* with running statistics, no tape */
  GRAD_UNIT_TRAIN,              /* with batch statistics */
  GRAD_UNIT_FROZEN              /* as infer, but a gradient goes through it */
} GradUnitMode;

struct _GradUnitClass
{
  GObjectClass parent_class;

  const gchar *name;            /* for people, of units without parameters */
  gboolean passthrough;         /* the output is the first input itself */
  gboolean varies;              /* what its jobs do depends on more than inputs, parameters and plan */

  /* Output shape from input shapes; FALSE with an error that names both when they do not fit. */
  gboolean (*infer_shape) (GradUnit * unit, const GradShape * inputs, GradShape * output,
      GError ** error);
  /* Creates the parameters with grad_unit_add_parameter(), once; (optional). */
  gboolean (*create_parameters) (GradUnit * unit, const GradShape * inputs, GError ** error);
  /* Size and functions of what is kept per shape; (optional). Runs in a job of the device. */
  gpointer (*plan) (GradUnit * unit, const GradShape * inputs, const GradShape * output,
      GradUnitMode mode, GError ** error);
  void (*free_plan) (gpointer plan);
  /* Shape of what the products with the weights are summed up to, if that is not the output; (optional). */
  GradShape (*get_product_shape) (GradUnit * unit, const GradShape * input);
  /* Runs in a job of the device. output is allocated. With a node (training), what backward needs is
   * kept in it by grad_node_save(); without, or with a frozen one, running statistics are used. */
  gboolean (*forward) (GradUnit * unit, gpointer plan, GradTensor ** inputs,
      GradTensor * output, GradNode * node, GError ** error);
  /* Runs in a job of the device. A frozen node has no gradients of parameters. dy is NULL for a root that makes its own gradient (the loss), else the
   * unit may overwrite it. dx[i] is set to a new reference where wanted[i]. */
  gboolean (*backward) (GradUnit * unit, GradNode * node, GradTensor * dy, GradTensor ** dx,
      const gboolean * wanted, gboolean accumulate, GError ** error);
  /* After the update of an applied step: what forward would otherwise have changed at once
   * (running statistics), so that an aborted step leaves no trace; (optional). It adds a GradNormRunning to the list; the
   * kernel itself is called for all of them. */
  void (*commit) (GradUnit * unit, GradNode * node, GArray * list);
};

gpointer grad_node_get_plan (GradNode * node);
const GradShape *grad_node_get_input_shape (GradNode * node);
void grad_unit_set_frozen (GradUnit * unit, gboolean frozen);
gboolean grad_unit_is_frozen (GradUnit * unit);
/* In its jobs: which values the network computes with, those in training or, if there are any, their averages. */
void grad_unit_use_values (GradUnit * unit, gboolean training);
/* Plans as nodes have them: a use more, and a use less */
gpointer grad_unit_hold_plan (gpointer entry);
void grad_unit_release_plan (GradUnit * unit, gpointer entry);
GradParameter *grad_unit_add_parameter (GradUnit * unit, const gchar * prefix,
    const gchar * name, GradParameterKind kind, const GradShape * shape, GradInit init,
    gsize fan_in, GError ** error);
guint grad_unit_get_n_parameters (GradUnit * unit);
GradParameter *grad_unit_get_parameter (GradUnit * unit, guint index);
/* Adds where its parameters and their gradients lie, and takes back what the host has written to them. */
void grad_unit_add_to_key (GradUnit * unit, GArray * key);
/* Has the run hold these. */
void grad_unit_hold_parameters (GradUnit * unit, GradRun * run);
/* makes sure that parameter->grad exists */
gboolean grad_unit_ensure_grad (GradUnit * unit, GradParameter * parameter, GError ** error);

G_END_DECLS
