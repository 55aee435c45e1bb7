"""Networks that give every pixel a class: timm's backbones under the decoders of smp.

smp is segmentation_models.pytorch. Its decoders take the image and its maps at strides 2, 4, 8,
16 and 32; ``encoder.py`` makes them of any backbone that has those from 4 on.
"""
