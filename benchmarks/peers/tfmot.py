"""The test models of TensorFlow Model Optimization 0.8 (TFMOT), written anew: 76.

Folder of the peer: tensorflow_model_optimization/python/core/quantization/keras. Every function
takes the Keras to build with, Keras 3 or TFMOT's legacy Keras, so that both quantizers get the
same net. LocallyConnected1D and 2D of the peer's list are not in Keras 3; SyncBatchNormalization
is BatchNormalization on one device.
"""

from __future__ import annotations


def single_layer(kind, shape=(5,), **options):
    def build(keras):
        return keras.Sequential([keras.Input(shape), getattr(keras.layers, kind)(**options)])

    return build


SEQUENCE = (3, 6)
IMAGE = (4, 6, 1)
VOLUME = (3, 4, 6, 1)

# quantize_functional_test.py, QuantizeFullIntegerModelTest._LAYER_PARAMS
SINGLE_LAYERS = {
    "relu": single_layer("ReLU"),
    "softmax": single_layer("Softmax"),
    "conv1d": single_layer("Conv1D", SEQUENCE, filters=4, kernel_size=2),
    "conv2d": single_layer("Conv2D", IMAGE, filters=4, kernel_size=(2, 2)),
    "conv3d": single_layer("Conv3D", VOLUME, filters=4, kernel_size=(2, 2, 2)),
    "conv2d_transpose": single_layer("Conv2DTranspose", IMAGE, filters=4, kernel_size=(2, 2)),
    "conv3d_transpose": single_layer("Conv3DTranspose", VOLUME, filters=4, kernel_size=(2, 2, 2)),
    "cropping1d": single_layer("Cropping1D", SEQUENCE),
    "cropping2d": single_layer("Cropping2D", IMAGE),
    "cropping3d": single_layer("Cropping3D", VOLUME),
    "upsampling1d": single_layer("UpSampling1D", SEQUENCE),
    "upsampling2d_nearest": single_layer("UpSampling2D", IMAGE, interpolation="nearest"),
    "upsampling2d_bilinear": single_layer("UpSampling2D", IMAGE, interpolation="bilinear"),
    "upsampling3d": single_layer("UpSampling3D", (4, 4, 6, 1)),
    "zero_padding1d": single_layer("ZeroPadding1D", SEQUENCE),
    "zero_padding2d": single_layer("ZeroPadding2D", IMAGE),
    "zero_padding3d": single_layer("ZeroPadding3D", VOLUME),
    "activity_regularization": single_layer("ActivityRegularization"),
    "dense": single_layer("Dense", units=2),
    "dropout": single_layer("Dropout", rate=0.2),
    "flatten": single_layer("Flatten"),
    "masking": single_layer("Masking", SEQUENCE),
    "permute": single_layer("Permute", (10, 64), dims=(2, 1)),
    "repeat_vector": single_layer("RepeatVector", n=3),
    "reshape": single_layer("Reshape", target_shape=(5, 1, 1)),
    "spatial_dropout1d": single_layer("SpatialDropout1D", SEQUENCE, rate=0.2),
    "spatial_dropout2d": single_layer("SpatialDropout2D", IMAGE, rate=0.2),
    "spatial_dropout3d": single_layer("SpatialDropout3D", VOLUME, rate=0.2),
    "average_pooling1d": single_layer("AveragePooling1D", SEQUENCE, pool_size=2),
    "average_pooling2d": single_layer("AveragePooling2D", IMAGE, pool_size=2),
    "average_pooling3d": single_layer("AveragePooling3D", VOLUME, pool_size=2),
    "global_average_pooling1d": single_layer("GlobalAveragePooling1D", SEQUENCE),
    "global_average_pooling2d": single_layer("GlobalAveragePooling2D", IMAGE),
    "global_average_pooling3d": single_layer("GlobalAveragePooling3D", VOLUME),
    "global_max_pooling1d": single_layer("GlobalMaxPooling1D", SEQUENCE),
    "global_max_pooling2d": single_layer("GlobalMaxPooling2D", IMAGE),
    "global_max_pooling3d": single_layer("GlobalMaxPooling3D", VOLUME),
    "max_pooling1d": single_layer("MaxPooling1D", SEQUENCE),
    "max_pooling2d": single_layer("MaxPooling2D", IMAGE),
    "max_pooling3d": single_layer("MaxPooling3D", VOLUME),
}


# default_8bit/quantize_numerical_test.py: the nets of testModelEndToEnd, and the bilinear one
# that the peer has switched off.


def single_conv(keras):
    x = keras.Input((32, 32, 3))
    return keras.Model(x, keras.layers.Conv2D(2, 3, strides=2)(x))


def single_dense(keras):
    x = keras.Input((5,))
    return keras.Model(x, keras.layers.Dense(3)(x))


def single_conv_relu(keras):
    x = keras.Input((6, 6, 3))
    y = keras.layers.Conv2D(2, 3, strides=2, activation="relu")(x)
    return keras.Model(x, keras.layers.ReLU()(y))


def stacked_convs(keras):
    x = keras.Input((64, 64, 3))
    y = keras.layers.Conv2D(10, 3, activation="relu")(x)
    for filters in (10, 10, 5, 2):
        y = keras.layers.Conv2D(filters, 3, strides=2, activation="relu")(y)
    return keras.Model(x, y)


def conv_bn_relu(keras):
    x = keras.Input((6, 6, 3))
    y = keras.layers.Conv2D(3, 3, strides=2)(x)
    return keras.Model(x, _normalized_relu(keras, y))


def depthwise_bn_relu(keras):
    x = keras.Input((6, 6, 3))
    y = keras.layers.DepthwiseConv2D(3, strides=2)(x)
    return keras.Model(x, _normalized_relu(keras, y))


def separable_bn_relu(keras):
    x = keras.Input((12, 12, 3))
    y = keras.layers.SeparableConv2D(5, 3, strides=2)(x)
    return keras.Model(x, _normalized_relu(keras, y))


def separable1d_bn_relu(keras):
    x = keras.Input((8, 3))
    y = keras.layers.SeparableConv1D(5, 3, strides=2)(x)
    return keras.Model(x, _normalized_relu(keras, y))


def separable1d_bn(keras):
    x = keras.Input((8, 3))
    y = keras.layers.SeparableConv1D(5, 3, strides=2)(x)
    return keras.Model(x, keras.layers.BatchNormalization()(y))


def separable1d_stacked(keras):
    x = keras.Input((8, 3))
    y = keras.layers.SeparableConv1D(5, 3, strides=2)(x)
    y = keras.layers.BatchNormalization()(y)
    y = keras.layers.SeparableConv1D(5, 3, strides=2)(y)
    return keras.Model(x, _normalized_relu(keras, y))


def upsampling_nearest_3x4(keras):
    x = keras.Input((32, 32, 3))
    return keras.Model(x, keras.layers.UpSampling2D((3, 4), interpolation="nearest")(x))


def upsampling_bilinear_1x5(keras):
    x = keras.Input((1, 3, 1))
    return keras.Model(x, keras.layers.UpSampling2D((1, 5), interpolation="bilinear")(x))


def conv_transpose(keras):
    x = keras.Input((32, 32, 3))
    return keras.Model(x, keras.layers.Conv2DTranspose(2, 3, strides=2)(x))


def _normalized_relu(keras, tensor):
    return keras.layers.ReLU()(keras.layers.BatchNormalization()(tensor))


# default_8bit/default_8bit_transforms_test.py


def transform_conv_bn_relu6(keras):
    # testConv2DBatchNormReLUQuantize; layers/conv_batchnorm_test_utils.py, Conv2DModel
    x = keras.Input((1, 3, 3))
    y = keras.layers.Conv2D(2, 1, use_bias=False)(x)
    return keras.Model(x, keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(y)))


def transform_depthwise_bn_activation(keras):
    # testConv2DBatchNormActivationQuantize; DepthwiseConv2DModel
    x = keras.Input((1, 10, 3))
    y = keras.layers.DepthwiseConv2D(1, use_bias=False)(x)
    y = keras.layers.BatchNormalization()(y)
    return keras.Model(x, keras.layers.Activation("relu")(y))


def transform_conv_squeeze_bn_relu6(keras):
    # testConv2DReshapeBatchNormReLUQuantize: an axis is taken away by a Lambda layer, whose name
    # the peer's pattern asks for
    x = keras.Input((1, 3, 3))
    y = keras.layers.Conv2D(2, 1, use_bias=False)(x)
    squeeze = keras.layers.Lambda(
        lambda tensor: tensor[:, 0], output_shape=(3, 2), name="sepconv1d_squeeze_1"
    )
    y = squeeze(y)
    return keras.Model(x, keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(y)))


def transform_dense_bn_activation(keras):
    # testDenseBatchNormActivationQuantize; layers/dense_batchnorm_test_utils.py
    x = keras.Input((32,))
    y = keras.layers.BatchNormalization()(keras.layers.Dense(32)(x))
    return keras.Model(x, keras.layers.Activation("relu")(y))


def transform_separable1d_dilated(keras):
    # testSeparableConv1DQuantize_padding_same_dilation_2: with a fixed batch
    x = keras.Input((7, 3), batch_size=2)
    y = keras.layers.SeparableConv1D(2, 3, padding="same", dilation_rate=2)(x)
    return keras.Model(x, y)


def transform_separable2d_depth_multiplier(keras):
    # testSeparableConvQuantize_depth_multiplier: with a fixed batch
    x = keras.Input((7, 6, 3), batch_size=2)
    return keras.Model(x, keras.layers.SeparableConv2D(2, 3, depth_multiplier=2)(x))


def transform_add_relu6(keras):
    # testAddReLUQuantize
    inputs = [keras.Input((3,)), keras.Input((3,))]
    return keras.Model(inputs, keras.layers.ReLU(6.0)(keras.layers.Add()(inputs)))


def transform_two_inputs(keras):
    # testAddsQuantizeLayerAfterInputLayer
    inputs = [keras.Input((3,)), keras.Input((3,))]
    return keras.Model(inputs, keras.layers.Concatenate()(inputs))


def transform_concat_levels(keras):
    # testConcatMultipleLevels
    x = keras.Input((3,))
    first, second, third, fourth = [keras.layers.Dense(3)(x) for _ in range(4)]
    y = keras.layers.Concatenate()([first, second])
    y = keras.layers.Concatenate()([y, third])
    return keras.Model(x, keras.layers.Concatenate()([y, fourth]))


def transform_concat_activations(keras):
    # testConcatActivationTransform
    inputs = [keras.Input((2,)), keras.Input((2,))]
    activated = [keras.layers.Activation("relu")(x) for x in inputs]
    return keras.Model(inputs, keras.layers.Concatenate()(activated))


def transform_concat_concats(keras):
    # testConcatConcatTransformDisablesOutput
    inputs = [keras.Input((1, 2, 2)) for _ in range(4)]
    flat = [keras.layers.Flatten()(x) for x in inputs]
    pairs = [keras.layers.Concatenate()(pair) for pair in (flat[:2], flat[2:])]
    return keras.Model(inputs, keras.layers.Concatenate()(pairs))


# quantize_test.py


def quantize_dense_dropout(keras):
    # QuantizeTest.testQuantizeModel_Passes
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(10), keras.layers.Dropout(0.4)])


def quantize_own_dense(keras):
    # QuantizeAnnotateTest.testQuantizeAnnotateModel_PassesWithCustomLayer
    class OwnDense(keras.layers.Dense):
        pass

    return keras.Sequential([keras.Input((2,)), OwnDense(3)])


def quantize_lambda(keras):
    # QuantizeAnnotateTest.testQuantizeAnnotateModel_SkipsLambda
    return keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(10),
            keras.layers.Dropout(0.4),
            keras.layers.Lambda(lambda tensor: tensor + 1.0),
        ]
    )


def quantize_nested(keras):
    # QuantizeApplyTest.testQuantizeApply_RunsWhenNestedModelNotAnnotated
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(10)])
    return keras.Sequential([keras.Input((2,)), inner, keras.layers.Dense(10)])


def quantize_subclassed(keras):
    # QuantizeApplyTest.testRaisesErrorIfKerasSubclassedModel: the peer refuses it, too
    class OwnModel(keras.Model):
        def call(self, inputs, training=None, mask=None):
            return inputs

    return OwnModel()


def quantize_unbuilt(keras):
    # QuantizeApplyTest.testRaisesErrorModelNotBuilt: the peer refuses it, too
    return keras.Sequential([keras.layers.Dense(10)])


def quantize_conv_dense(keras):
    # QuantizeApplyTest._get_simple_functional_model: Dense on maps of 24 x 24 pixels
    x = keras.Input((28, 28, 1))
    y = keras.layers.Conv2D(32, 5, activation="relu")(x)
    y = keras.layers.Dense(10, activation="relu")(y)
    return keras.Model(x, keras.layers.Dense(5, activation="softmax")(y))


def quantize_layer_with_inner_layer(keras):
    # QuantizeApplyTest.testQuantizeApply_KeepTrainableWeightOrder
    class ConvInside(keras.layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.inner = keras.layers.Conv2D(2, 2)

        def build(self, input_shape):
            self.inner.build(input_shape)
            self.built = True

        def call(self, inputs):
            return self.inner(inputs)

    return keras.Sequential([keras.Input((28, 28, 3)), ConvInside()])


# graph_transformations/model_transformer_test.py


def transformer_dict_inputs_outputs(keras):
    # testReplaceSingleLayerWithSingleLayer_DictInputOutput
    inputs = {
        "input1": keras.Input((3,), name="input1"),
        "input2": keras.Input((3,), name="input2"),
    }
    outputs = {
        f"output{number}": keras.layers.ReLU(6.0)(keras.layers.Dense(2)(inputs[f"input{number}"]))
        for number in (1, 2)
    }
    return keras.Model(inputs, outputs)


def transformer_two_consumers(keras):
    # testPatternCanMatch_HeadNodeWithMultipleConsumers
    x = keras.Input((3,))
    y = keras.layers.Dense(2)(keras.layers.Dense(2)(x))
    return keras.Model(x, [keras.layers.ReLU(6.0)(y), keras.layers.ReLU(6.0)(y)])


def integration_simple_dense(keras):
    # quantize_integration_test.py; ../../keras/test_utils.py, build_simple_dense_model
    return keras.Sequential(
        [
            keras.Input((10,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(5, activation="softmax"),
        ]
    )


def mnist(keras):
    # quantize_functional_test.py, testQuantizesMnist; ../../keras/testing/test_utils_mnist.py
    kl = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            kl.Conv2D(32, 5, padding="same", activation="relu"),
            kl.MaxPooling2D(2, 2, padding="same"),
            kl.Conv2D(64, 5, padding="same", activation="relu"),
            kl.MaxPooling2D(2, 2, padding="same"),
            kl.Flatten(),
            kl.Dense(1024, activation="relu"),
            kl.Dropout(0.4),
            kl.Dense(10, activation="softmax"),
        ]
    )


NETS = {
    **{f"layer_{name}": build for name, build in SINGLE_LAYERS.items()},
    **{
        build.__name__: build
        for build in (
            single_conv,
            single_dense,
            single_conv_relu,
            stacked_convs,
            conv_bn_relu,
            depthwise_bn_relu,
            separable_bn_relu,
            separable1d_bn_relu,
            separable1d_bn,
            separable1d_stacked,
            upsampling_nearest_3x4,
            upsampling_bilinear_1x5,
            conv_transpose,
            transform_conv_bn_relu6,
            transform_depthwise_bn_activation,
            transform_conv_squeeze_bn_relu6,
            transform_dense_bn_activation,
            transform_separable1d_dilated,
            transform_separable2d_depth_multiplier,
            transform_add_relu6,
            transform_two_inputs,
            transform_concat_levels,
            transform_concat_activations,
            transform_concat_concats,
            quantize_dense_dropout,
            quantize_own_dense,
            quantize_lambda,
            quantize_nested,
            quantize_subclassed,
            quantize_unbuilt,
            quantize_conv_dense,
            quantize_layer_with_inner_layer,
            transformer_dict_inputs_outputs,
            transformer_two_consumers,
            integration_simple_dense,
            mnist,
        )
    },
}
