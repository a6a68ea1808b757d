package io.vhostfs.bdev;

/** Opens block devices by what users call them. Any thread. */
public final class BlockDevices {
    private BlockDevices() {}

    /**
     * Opens the device.
     *
     * @param create whether a file that is missing or empty is made, of the size that the name says
     * @throws BlockDeviceException when that is impossible
     */
    public static BlockDevice open(BlockDeviceSpec spec, boolean create) {
        return switch (spec) {
            case BlockDeviceSpec.Malloc malloc -> new MallocDevice(malloc.sizeBytes());
            case BlockDeviceSpec.FilePath file -> UringDevice.open(file, create);
            case BlockDeviceSpec.Nvme nvme -> NvmeDevices.open(nvme);
        };
    }

    /**
     * Opens the device for reading beside a target that serves it; what is read may be changing.
     *
     * @throws BlockDeviceException when that is impossible
     */
    public static BlockDevice openToLook(BlockDeviceSpec spec) {
        return UringDevice.openToLook(file(spec));
    }

    /**
     * Makes a regular file as large as its name says, if that is more than it has.
     *
     * @throws BlockDeviceException when that is impossible
     */
    public static void enlarge(BlockDeviceSpec spec) {
        UringDevice.enlarge(file(spec));
    }

    private static BlockDeviceSpec.FilePath file(BlockDeviceSpec spec) {
        if (spec instanceof BlockDeviceSpec.FilePath file) {
            return file;
        }
        throw new BlockDeviceException(
                BlockDeviceException.Kind.UNSUPPORTED, spec + ": is no file or disk; only its target can reach it");
    }
}
