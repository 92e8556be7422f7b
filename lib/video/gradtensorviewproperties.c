/* GradStreamer: what elements that show tensors can be asked for
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gradtensorview.h"
#include "../base/gradelement.h"

void
grad_tensor_view_install_properties (GObjectClass * klass, guint offset,
    GradColorMap color_map)
{
  g_object_class_install_property (klass, offset + G_STRUCT_OFFSET (GradTensorView, color_map),
      g_param_spec_enum ("color-map", "Color map", "Colours of values; all but auto make each channel a tile",
          GRAD_TYPE_COLOR_MAP, color_map, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, offset + G_STRUCT_OFFSET (GradTensorView, minimum),
      g_param_spec_double ("minimum", "Minimum", "Value at the lower end of the colours; if it equals maximum, "
          "each tile has a range of its own", -G_MAXDOUBLE, G_MAXDOUBLE, 0,
          GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, offset + G_STRUCT_OFFSET (GradTensorView, maximum),
      g_param_spec_double ("maximum", "Maximum", "Value at the upper end of the colours",
          -G_MAXDOUBLE, G_MAXDOUBLE, 0, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, offset + G_STRUCT_OFFSET (GradTensorView, max_tiles),
      g_param_spec_uint ("max-tiles", "Maximum of tiles", "Number of tiles in a frame at most: of the first samples "
          "and channels", 1, 4096, 64, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, offset + G_STRUCT_OFFSET (GradTensorView, columns),
      g_param_spec_uint ("columns", "Columns", "Number of tiles side by side, 0 for a grid that is nearly "
          "square, or of the shape of the frame that it is to fill", 0, 4096, 0, GRAD_PARAM_STATIC));
  g_object_class_install_property (klass, offset + G_STRUCT_OFFSET (GradTensorView, scale),
      g_param_spec_uint ("scale", "Scale", "Factor by which tiles are magnified, 0 for one with which they "
          "can be seen well", 0, 256, 0, GRAD_PARAM_STATIC));
  gst_type_mark_as_plugin_api (GRAD_TYPE_COLOR_MAP, 0);
}

gboolean
grad_tensor_view_check (const GradTensorView * view, GError ** error)
{
  if (view->minimum > view->maximum)
    g_set_error (error, GRAD_ERROR, GRAD_ERROR_SETTINGS, "minimum=%g is larger than maximum=%g: swap them, or "
        "make them equal for a range of its own for each tile", view->minimum, view->maximum);
  return view->minimum <= view->maximum;
}
