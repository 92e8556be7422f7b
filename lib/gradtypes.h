/* GradStreamer: the words that every other header uses
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#ifndef GRAD_API
#define GRAD_API __attribute__ ((visibility ("default")))
#endif

/* Letters used for shapes in every comment of this project:
 *   N samples in the batch, C channels, H rows, W columns,
 *   K units of a fully connected layer or classes, I/O input/output channels of a convolution. */

typedef struct _GradShape GradShape;
typedef struct _GradTensor GradTensor;
typedef struct _GradDevice GradDevice;
typedef struct _GradUnit GradUnit;
typedef struct _GradNode GradNode;
typedef struct _GradStep GradStep;
typedef struct _GradNetwork GradNetwork;
typedef struct _GradBus GradBus;
typedef struct _GradModel GradModel;
typedef struct _GradParameter GradParameter;
typedef struct _GradParameterStore GradParameterStore;

/**
 * GRAD_ERROR:
 *
 * Error domain of the library; codes are #GradError.
 */
#define GRAD_ERROR (grad_error_quark ())
GRAD_API GQuark grad_error_quark (void);

/**
 * GradError:
 * @GRAD_ERROR_FAILED: a kernel or library call failed
 * @GRAD_ERROR_SHAPE: shapes, types or channel numbers do not fit together
 * @GRAD_ERROR_DEVICE: the device asked for is unknown, missing or does not work
 * @GRAD_ERROR_NO_MEMORY: the device is out of memory
 * @GRAD_ERROR_FILE: a file has the wrong contents
 * @GRAD_ERROR_IO: a file cannot be opened, read or written
 * @GRAD_ERROR_UNSUPPORTED: this device, precision or build cannot do it
 * @GRAD_ERROR_SETTINGS: a setting is missing, cannot be used, or contradicts another
 * @GRAD_ERROR_LABEL: a label is out of the range of the classes, or there are none
 * @GRAD_ERROR_NOT_FINITE: a loss or gradient is infinite or not a number
 * @GRAD_ERROR_ABORTED: interrupted by a flush or a state change; nothing was changed
 */
typedef enum
{
  GRAD_ERROR_FAILED,
  GRAD_ERROR_SHAPE,
  GRAD_ERROR_DEVICE,
  GRAD_ERROR_NO_MEMORY,
  GRAD_ERROR_FILE,
  GRAD_ERROR_IO,
  GRAD_ERROR_UNSUPPORTED,
  GRAD_ERROR_SETTINGS,
  GRAD_ERROR_LABEL,
  GRAD_ERROR_NOT_FINITE,
  GRAD_ERROR_ABORTED
} GradError;

/**
 * GradDType:
 * @GRAD_DTYPE_UINT8: 8-bit unsigned integers: pictures as they come from a file
 * @GRAD_DTYPE_FLOAT32: everything that is computed with
 *
 * Logical element type of a tensor, as its caps and maps show it. In which precision the device
 * really stores it is the device's own affair.
 */
typedef enum
{
  GRAD_DTYPE_UINT8,
  GRAD_DTYPE_FLOAT32
} GradDType;

/**
 * GradPhase:
 * @GRAD_PHASE_INFER: classify; no labels needed, never waits for training
 * @GRAD_PHASE_TRAIN: batch statistics, tape, update
 * @GRAD_PHASE_EVALUATE: running statistics, loss and accuracy, no update
 *
 * What a batch is for. A buffer without a sample meta means infer.
 */
typedef enum
{
  GRAD_PHASE_INFER,
  GRAD_PHASE_TRAIN,
  GRAD_PHASE_EVALUATE
} GradPhase;

GRAD_API const gchar *grad_phase_to_string (GradPhase phase);

/**
 * GradPrecision:
 * @GRAD_PRECISION_DEFAULT: 32-bit floating point on CPUs, bfloat16 on GPUs
 * @GRAD_PRECISION_AUTO: bfloat16 where the processor multiplies it, else 32-bit floating point
 * @GRAD_PRECISION_F32: 32-bit floating point throughout
 * @GRAD_PRECISION_BF16: bfloat16 activations, 32-bit master weights
 * @GRAD_PRECISION_TF32: 32-bit floating point, products with 10 bits of mantissa (GPUs)
 * @GRAD_PRECISION_INT8: convolutions of 8-bit integers, for inference (CPUs)
 *
 * Precision that a device computes in.
 */
typedef enum
{
  GRAD_PRECISION_DEFAULT,
  GRAD_PRECISION_AUTO,
  GRAD_PRECISION_F32,
  GRAD_PRECISION_BF16,
  GRAD_PRECISION_TF32,
  GRAD_PRECISION_INT8
} GradPrecision;

#define GRAD_TYPE_PHASE (grad_phase_get_type ())
#define GRAD_TYPE_PRECISION (grad_precision_get_type ())
GRAD_API GType grad_phase_get_type (void);
GRAD_API GType grad_precision_get_type (void);
GRAD_API const gchar *grad_precision_to_string (GradPrecision precision);

G_END_DECLS
