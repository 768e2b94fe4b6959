"""Backbones of keras_hub 0.32 with random weights, as small as their constructors allow: 17.

Where each is in the peer: keras_hub/src/models/<name>/<name>_backbone.py. The package is imported
only when a net is built (its name is why this file is not called keras_hub.py).
"""

from __future__ import annotations

from functools import partial

SHAPE = (64, 64, 3)
DETECTION_SHAPE = (128, 128, 3)


def _models():
    from keras_hub import models

    return models


def _resnet(_keras, block="basic_block", **options):
    settings = {
        "input_conv_filters": [64],
        "input_conv_kernel_sizes": [7],
        "stackwise_num_filters": [64, 64],
        "stackwise_num_blocks": [1, 1],
        "stackwise_num_strides": [1, 2],
        "block_type": block,
        "image_shape": SHAPE,
    }
    return _models().ResNetBackbone(**{**settings, **options})


def resnet_vd(keras):
    # The variant proper: three convolutions first, and pooling in the shortcuts.
    return _resnet(
        keras,
        "bottleneck_block_vd",
        input_conv_filters=[16, 16, 32],
        input_conv_kernel_sizes=[3, 3, 3],
    )


def resnet_v2(keras):
    return _resnet(keras, "bottleneck_block", use_pre_activation=True)


def cspnet(_keras):
    return _models().CSPNetBackbone(
        stem_filters=16,
        stem_kernel_size=3,
        stem_strides=1,
        stackwise_depth=[1, 2],
        stackwise_strides=[2, 2],
        stackwise_num_filters=[16, 32],
        block_type="dark_block",
        stage_type="csp",
        bottle_ratio=[0.5, 1.0],
        block_ratio=[1.0, 0.5],
        expand_ratio=[2.0, 1.0],
        down_growth=True,
        image_shape=SHAPE,
    )


def densenet(_keras):
    return _models().DenseNetBackbone(
        stackwise_num_repeats=[2, 2], growth_rate=12, image_shape=SHAPE
    )


def vgg(_keras):
    return _models().VGGBackbone(
        stackwise_num_repeats=[2, 2, 2], stackwise_num_filters=[16, 32, 32], image_shape=SHAPE
    )


def xception(_keras):
    return _models().XceptionBackbone(
        stackwise_conv_filters=[[16, 32], [32, 64], [64, 64]],
        stackwise_pooling=[True, True, False],
        image_shape=SHAPE,
    )


def efficientnet(_keras):
    return _models().EfficientNetBackbone(
        stackwise_kernel_sizes=[3, 5],
        stackwise_num_repeats=[1, 2],
        stackwise_input_filters=[16, 16],
        stackwise_output_filters=[16, 24],
        stackwise_expansion_ratios=[1, 4],
        stackwise_squeeze_and_excite_ratios=[0.0, 0.25],
        stackwise_strides=[1, 2],
        stackwise_block_types=["fused", "unfused"],
        stackwise_width_coefficients=[1.0, 1.0],
        stackwise_depth_coefficients=[1.0, 1.0],
        num_features=64,
        input_shape=SHAPE,
    )


def mobilenet(_keras):
    return _models().MobileNetBackbone(
        stackwise_expansion=[[40, 56], [64, 144]],
        stackwise_num_blocks=[2, 2],
        stackwise_num_filters=[[16, 16], [24, 24]],
        stackwise_kernel_size=[[3, 3], [5, 5]],
        stackwise_num_strides=[[2, 1], [2, 1]],
        stackwise_se_ratio=[[None, None], [0.25, 0.25]],
        stackwise_activation=[["relu", "relu"], ["hard_swish", "hard_swish"]],
        stackwise_padding=[[1, 1], [2, 2]],
        output_num_filters=64,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=64,
        squeeze_and_excite=0.5,
        image_shape=SHAPE,
    )


def mit(_keras):
    return _models().MiTBackbone(
        layerwise_depths=[1, 1],
        num_layers=2,
        layerwise_num_heads=[1, 2],
        layerwise_sr_ratios=[4, 1],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3],
        layerwise_strides=[4, 2],
        hidden_dims=[16, 32],
        image_shape=SHAPE,
    )


def vit(_keras):
    return _models().ViTBackbone(
        image_shape=SHAPE, patch_size=16, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64
    )


def hgnetv2(_keras):
    return _models().HGNetV2Backbone(
        depths=[1, 1],
        embedding_size=16,
        hidden_sizes=[32, 64],
        stem_channels=[3, 16, 16],
        hidden_act="relu",
        use_learnable_affine_block=True,
        stackwise_stage_filters=[(16, 16, 32, 1, 2, 3), (32, 16, 64, 1, 2, 3)],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, True],
        image_shape=SHAPE,
    )


def retinanet_fpn(keras):
    encoder = _resnet(
        keras,
        stackwise_num_filters=[64, 64, 64, 64],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        image_shape=DETECTION_SHAPE,
    )
    return _models().RetinaNetBackbone(
        image_encoder=encoder, min_level=3, max_level=6, use_p5=False, image_shape=DETECTION_SHAPE
    )


def deeplab(keras):
    encoder = _resnet(
        keras,
        stackwise_num_filters=[64, 64, 64],
        stackwise_num_blocks=[1, 1, 1],
        stackwise_num_strides=[1, 2, 2],
    )
    return _models().DeepLabV3Backbone(
        image_encoder=encoder,
        spatial_pyramid_pooling_key="P4",
        low_level_feature_key="P2",
        upsampling_size=4,
        dilation_rates=[2, 3],
        projection_filters=16,
        image_shape=SHAPE,
    )


NETS = {
    **{
        f"resnet_{block.replace('_block', '')}": partial(_resnet, block=block)
        for block in ("basic_block", "bottleneck_block", "basic_block_vd", "bottleneck_block_vd")
    },
    **{
        build.__name__: build
        for build in (
            resnet_vd,
            resnet_v2,
            cspnet,
            densenet,
            vgg,
            xception,
            efficientnet,
            mobilenet,
            mit,
            vit,
            hgnetv2,
            retinanet_fpn,
            deeplab,
        )
    },
}
