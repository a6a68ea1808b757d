package io.vhostfs.vfio;

import static io.vhostfs.vfio.VfioConstants.*;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.CString;
import io.vhostfs.os.Errno;
import io.vhostfs.vfio.VfioException.Kind;
import java.lang.foreign.Arena;

/**
 * The files of a device that is taken by its IOMMU group: the group, a container of its own, the device.
 *
 * <p>Invariant: an object that exists has all three open until it is closed. Any thread, one at a time.
 */
final class VfioGroup {
    private final String name;
    private final Kernel kernel;
    private int containerFd = -1;
    private int groupFd = -1;
    private int deviceFd = -1;

    private VfioGroup(String name, Kernel kernel) {
        this.name = name;
        this.kernel = kernel;
    }

    /**
     * @param file the group's name below {@code /dev/vfio}
     * @param iommu how the container translates
     * @throws VfioException when the device cannot be had
     */
    static VfioGroup open(PciDevice pci, Kernel kernel, String file, int iommu) throws VfioException {
        VfioGroup group = new VfioGroup(pci.address(), kernel);
        try {
            group.open(pci, file, iommu);
            return group;
        } catch (VfioException e) {
            group.close();
            throw e;
        }
    }

    int containerFd() {
        return containerFd;
    }

    int deviceFd() {
        return deviceFd;
    }

    private void open(PciDevice pci, String file, int iommu) throws VfioException {
        containerFd = openFile("/dev/vfio/vfio", "remedy, as root: modprobe vfio-pci");
        if (kernel.ioctl(containerFd, VFIO_GET_API_VERSION, 0) != VFIO_API_VERSION
                || kernel.ioctl(containerFd, VFIO_CHECK_EXTENSION, iommu) <= 0) {
            throw new VfioException(
                    Kind.UNSUPPORTED,
                    name + ": this kernel's VFIO has no "
                            + (iommu == VFIO_NOIOMMU_IOMMU
                                    ? "mode without an IOMMU (CONFIG_VFIO_NOIOMMU)"
                                    : "type 1 IOMMU; modprobe vfio_iommu_type1"));
        }
        groupFd =
                openFile("/dev/vfio/" + file, "end who uses it, or give it to this user: chown USER /dev/vfio/" + file);
        try (Arena arena = Arena.ofConfined()) {
            long status = arena.allocate(VFIO_GROUP_STATUS_SIZE, 8).address();
            Memory.putInt(status, VFIO_GROUP_STATUS_SIZE);
            check(kernel.ioctl(groupFd, VFIO_GROUP_GET_STATUS, status), "the status of its IOMMU group");
            if ((Memory.getInt(status + VFIO_GROUP_STATUS_FLAGS_OFFSET) & VFIO_GROUP_FLAGS_VIABLE) == 0) {
                throw new VfioException(
                        Kind.BUSY,
                        name + ": another device of its IOMMU group " + pci.iommuGroup()
                                + " has a driver of the kernel; bind all of /sys/kernel/iommu_groups/"
                                + pci.iommuGroup()
                                + "/devices to vfio-pci");
            }
            long container = arena.allocate(Integer.BYTES, 8).address();
            Memory.putInt(container, containerFd);
            check(kernel.ioctl(groupFd, VFIO_GROUP_SET_CONTAINER, container), "to join its container");
            check(kernel.ioctl(containerFd, VFIO_SET_IOMMU, iommu), "its IOMMU");
        }
        deviceFd =
                check(CString.with(name, text -> kernel.ioctl(groupFd, VFIO_GROUP_GET_DEVICE_FD, text)), "the device");
    }

    private int check(int result, String what) throws VfioException {
        return VfioException.check(name, result, what);
    }

    private int openFile(String path, String remedy) throws VfioException {
        int fd = kernel.open(path);
        if (fd >= 0) {
            return fd;
        }
        Kind kind =
                switch (-fd) {
                    case Errno.ENOENT, Errno.ENODEV -> Kind.UNSUPPORTED;
                    case Errno.EBUSY -> Kind.BUSY;
                    default -> Kind.NOT_PERMITTED;
                };
        throw new VfioException(kind, name + ": cannot open " + path + " (" + Errno.name(fd) + "); " + remedy);
    }

    /** Again: no effect. */
    void close() {
        deviceFd = kernel.closed(deviceFd);
        groupFd = kernel.closed(groupFd);
        containerFd = kernel.closed(containerFd);
    }
}
