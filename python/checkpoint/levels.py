"""The integers that the 16 codes of a 4-bit number stand for, where they are not evenly spaced."""

# IQ4_NL and IQ4_XS (ggml-common.h, kvalues_iq4nl).
IQ4_LEVELS = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)

# NVFP4 and MXFP4: twice the value of an E2M1 number (OCP Microscaling Formats 1.0, section 5.3.3):
# a sign bit, then 0, 0.5, 1, 1.5, 2, 3, 4, 6. Code 8 is -0, which is 0 here.
E2M1_LEVELS = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)

FP4_GROUP = 16  # columns of an NVFP4 matrix that share a scale
