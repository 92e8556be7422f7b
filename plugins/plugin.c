/* GradStreamer: the plugin: networks as pipelines
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"
#include "gradstreamerelements.h"

static gboolean
plugin_init (GstPlugin * plugin)
{
  return GST_ELEMENT_REGISTER (idxsrc, plugin)
      && GST_ELEMENT_REGISTER (gradaugment, plugin)
      && GST_ELEMENT_REGISTER (gradresize, plugin)
      && GST_ELEMENT_REGISTER (gradconvstem, plugin)
      && GST_ELEMENT_REGISTER (gradresstage, plugin)
      && GST_ELEMENT_REGISTER (gradglobalpool, plugin)
      && GST_ELEMENT_REGISTER (gradfc, plugin)
      && GST_ELEMENT_REGISTER (gradloss, plugin)
      && GST_ELEMENT_REGISTER (gradadamsink, plugin)
      && GST_ELEMENT_REGISTER (gradsgdsink, plugin)
      && GST_ELEMENT_REGISTER (gradmodel, plugin)
      && GST_ELEMENT_REGISTER (gradpublish, plugin)
#ifdef HAVE_VIDEO
      && GST_ELEMENT_REGISTER (gradclassify, plugin)
      && GST_ELEMENT_REGISTER (gradtovideo, plugin)
      && GST_ELEMENT_REGISTER (gradbusview, plugin)
      && GST_ELEMENT_REGISTER (gradfromvideo, plugin)
#endif
#if defined (HAVE_VIDEO) && defined (HAVE_PANGO)
      && GST_ELEMENT_REGISTER (gradoverlay, plugin)
      && GST_ELEMENT_REGISTER (gradplotsrc, plugin)
#endif
      && gst_tracer_register (plugin, "gradtimes", grad_times_get_type ());
}

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, gradstreamer,
    "Neural networks as pipelines: train, evaluate and infer", plugin_init, PACKAGE_VERSION,
    "LGPL", PACKAGE_NAME, PACKAGE_ORIGIN)
