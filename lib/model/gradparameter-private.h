/* GradStreamer: what the parameter store and its files share
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "gradparameter.h"
#include "gradsafetensors.h"
#include "gradsnapshot.h"

G_BEGIN_DECLS

struct _GradParameterStore
{
  GObject parent;

  /* The lock guards what follows, but not the values, which belong to whoever has the step. It is
   * not held while a device works. Parameters are never taken away. */
  GMutex lock;
  GPtrArray *list;              /* of GradParameter, in the order in which they were added; owned */
  GHashTable *by_name;
  guint64 seed;
  gchar *location;              /* of file; set once */
  GradSafetensors *file;
  gboolean resume;              /* what optimizers keep comes from there, too */
};

/* All parameters of this moment: (transfer container). */
GPtrArray *grad_parameter_store_list (GradParameterStore * store);

/* As grad_parameter_store_set_source() of a store that has none, with a file that is open; NULL: from now on there is none. */
void grad_parameter_store_set_file (GradParameterStore * store, const gchar * location,
    GradSafetensors * file);

/* The tensors of the file that parameters are not, as a text for people: (transfer full) (nullable): NULL: there are none */
GRAD_API gchar *grad_parameter_store_describe_unused (GradParameterStore * store);

/* Takes a reference. */
void grad_parameter_set_value (GradParameter * parameter, GradTensor * value);
/* What evaluation and files take for its values: the average, if there is one. */
GradTensor *grad_parameter_get_result (const GradParameter * parameter);
/* What training takes for them, whatever happens besides. */
GradTensor *grad_parameter_get_own (const GradParameter * parameter);

/* Bytes of its values as float; 0 for a counter. */
gsize grad_parameter_bytes (const GradParameter * parameter);
gfloat *grad_parameter_new_values (gsize size, GError ** error);

/* The parameter in a file, of the right shape and of a type that can be read. A counter may be
 * missing: *entry is NULL then. to_use: with all its values a number */
gboolean grad_parameter_find_entry (GradSafetensors * file, const gchar * location,
    const GradParameter * parameter, gboolean to_use, const GradSafetensorsEntry ** entry, GError ** error);

#define GRAD_PARAMETER_MAX_COUNT G_GINT64_CONSTANT (1000000000000000)      /* which a double still counts */
#define GRAD_PARAMETER_STATE "optimizer."       /* what names begin with */

/* What optimizers keep of a parameter is a tensor beside it: "optimizer.conv1.weight.exp_avg". Those that the file has are read, those
 * that the parameter has are added. */
gboolean grad_parameter_read_state (GradParameter * parameter, GradSafetensors * file,
    const gchar * location, gfloat * values, GError ** error);
gboolean grad_parameter_add_state (const GradParameter * parameter, GradSnapshot * snapshot, GError ** error);

/* The values of a tensor as float; FALSE when it has none of F32, F64, F16 and BF16. */
GRAD_API gboolean grad_parameter_convert (const GradSafetensorsEntry * entry, gfloat * values,
    gsize n);

/* Sets the value from such an entry; values: space for grad_parameter_bytes(). */
gboolean grad_parameter_read_tensor (GradTensor * tensor, const GradSafetensorsEntry * entry,
    gfloat * values, GError ** error);
gboolean grad_parameter_read (GradParameter * parameter, const GradSafetensorsEntry * entry,
    gfloat * values, GError ** error);

G_END_DECLS
