package io.vhostfs.vfio;

import static io.vhostfs.os.LibcConstants.EFD_CLOEXEC;
import static io.vhostfs.os.LibcConstants.EFD_NONBLOCK;
import static io.vhostfs.os.LibcConstants.MAP_SHARED;
import static io.vhostfs.os.LibcConstants.PROT_READ;
import static io.vhostfs.os.LibcConstants.PROT_WRITE;
import static io.vhostfs.vfio.VfioConstants.*;

import io.vhostfs.memory.DmaMapper;
import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.os.Libc;
import io.vhostfs.vfio.VfioException.Kind;
import java.lang.foreign.Arena;

/**
 * A PCI device that this process drives through VFIO.
 *
 * <p>Invariant: while it is open, BAR 0 is mapped and nobody else has the device. The kernel resets it when it is closed,
 * however the process ends. Each device has a domain of its own ({@link DmaDomain}). Any thread; mapping is guarded.
 */
public final class VfioDevice implements DmaMapper, AutoCloseable {
    /** Vectors for which there are eventfds: one for each queue pair we may have, and the admin queue's. */
    public static final int MAX_VECTORS = 65;

    private final String name;
    private final DmaDomain domain;
    private final int deviceFd;
    private long barAddress;
    private long barBytes;
    private long configOffset;
    private int removalFd = -1;
    private int[] vectorFds = {};

    private VfioDevice(String name, DmaDomain domain) {
        this.name = name;
        this.domain = domain;
        deviceFd = domain.deviceFd;
    }

    /**
     * Opens the device.
     *
     * @param unsafeNoIommu whether to take it also when there is no IOMMU, and it can write anywhere
     * @throws VfioException when it is not there, not bound to vfio-pci, in use, or the host has no IOMMU
     */
    public static VfioDevice open(PciDevice pci, boolean unsafeNoIommu) throws VfioException {
        refuseUnusable(pci);
        VfioDevice device = new VfioDevice(pci.address(), DmaDomain.open(pci, Kernel.LINUX, unsafeNoIommu));
        try {
            device.setUp();
            return device;
        } catch (VfioException e) {
            device.close();
            throw e;
        }
    }

    private static void refuseUnusable(PciDevice pci) throws VfioException {
        if (!pci.exists()) {
            throw new VfioException(Kind.MISSING, pci + ": there is no such PCI device; lspci -D shows all");
        }
        if (!pci.driver().equals(PciDevice.VFIO_DRIVER)) {
            throw new VfioException(
                    Kind.BUSY,
                    pci + ": is bound to " + (pci.driver().isEmpty() ? "no driver" : "the driver " + pci.driver())
                            + ", not to vfio-pci; remedy, as root: vhostfs setup --bind " + pci);
        }
    }

    private void setUp() throws VfioException {
        domain.prepare();
        mapRegisters();
        removalFd = eventFd();
        int result = setInterrupts(VFIO_PCI_REQ_IRQ_INDEX, new int[] {removalFd});
        if (result < 0) {
            // A kernel that cannot ask for the device back: it waits until the target ends.
            Libc.close(removalFd);
            removalFd = -1;
        }
    }

    private void mapRegisters() throws VfioException {
        try (Arena arena = Arena.ofConfined()) {
            long info = regionInfo(arena, VFIO_PCI_CONFIG_REGION_INDEX);
            configOffset = Memory.getLong(info + VFIO_REGION_INFO_OFFSET_OFFSET);
            info = regionInfo(arena, VFIO_PCI_BAR0_REGION_INDEX);
            barBytes = Memory.getLong(info + VFIO_REGION_INFO_SIZE_OFFSET);
            if ((Memory.getInt(info + VFIO_REGION_INFO_FLAGS_OFFSET) & VFIO_REGION_INFO_FLAG_MMAP) == 0) {
                throw new VfioException(Kind.UNSUPPORTED, name + ": its registers (BAR 0) cannot be mapped");
            }
            long offset = Memory.getLong(info + VFIO_REGION_INFO_OFFSET_OFFSET);
            setCommand(PCI_COMMAND_MEMORY, true);
            long address = Libc.mmap(0, barBytes, PROT_READ | PROT_WRITE, MAP_SHARED, deviceFd, offset);
            if (address < 0) {
                throw new VfioException(
                        Kind.UNSUPPORTED,
                        name + ": its registers cannot be mapped (" + Errno.name((int) address)
                                + "); a kernel from 4.16 on maps those that hold the interrupt table too");
            }
            barAddress = address;
        }
    }

    private long regionInfo(Arena arena, int index) throws VfioException {
        long info = arena.allocate(VFIO_REGION_INFO_SIZE, 8).address();
        Memory.putInt(info, VFIO_REGION_INFO_SIZE);
        Memory.putInt(info + VFIO_REGION_INFO_INDEX_OFFSET, index);
        domain.check(Libc.ioctl(deviceFd, VFIO_DEVICE_GET_REGION_INFO, info), "region " + index);
        return info;
    }

    public String name() {
        return name;
    }

    /** How it was taken: {@code iommufd}, {@code container} or {@code no-iommu}. */
    public String way() {
        return domain.way();
    }

    /** Where BAR 0 is mapped. */
    public long barAddress() {
        return barAddress;
    }

    public long barBytes() {
        return barBytes;
    }

    /** Lets the device read and write memory, or keeps it from doing so; no effect when it is gone. */
    public void setBusMaster(boolean allowed) {
        setCommand(PCI_COMMAND_MASTER, allowed);
    }

    private void setCommand(int bit, boolean set) {
        try (Arena arena = Arena.ofConfined()) {
            long command = arena.allocate(Short.BYTES, 8).address();
            long at = configOffset + PCI_COMMAND;
            if (Libc.pread(deviceFd, command, Short.BYTES, at) == Short.BYTES) {
                int value = Memory.getUnsignedShort(command);
                Memory.putShort(command, (short) (set ? value | bit : value & ~bit));
                Libc.pwrite(deviceFd, command, Short.BYTES, at);
            }
        }
    }

    /** Resets the function; false when that is impossible. */
    public boolean reset() {
        return Libc.ioctl(deviceFd, VFIO_DEVICE_RESET, 0) == 0;
    }

    /** Whether the kernel has asked for the device back since it was opened. */
    public boolean isRemovalRequested() {
        if (removalFd < 0) {
            return false;
        }
        try (Arena arena = Arena.ofConfined()) {
            long count = arena.allocate(Long.BYTES, 8).address();
            boolean asked = Libc.read(removalFd, count, Long.BYTES) == Long.BYTES;
            if (asked) {
                // It stays asked: the next look has to see it too.
                Memory.putLong(count, 1);
                Libc.write(removalFd, count, Long.BYTES);
            }
            return asked;
        }
    }

    /**
     * Makes eventfds for the first {@code count} interrupt vectors, or as many as there are.
     *
     * @throws VfioException when the kernel refuses
     */
    public void enableInterrupts(int count) throws VfioException {
        int available;
        try (Arena arena = Arena.ofConfined()) {
            long info = arena.allocate(VFIO_IRQ_INFO_SIZE, 8).address();
            Memory.putInt(info, VFIO_IRQ_INFO_SIZE);
            Memory.putInt(info + VFIO_IRQ_INFO_INDEX_OFFSET, VFIO_PCI_MSIX_IRQ_INDEX);
            domain.check(Libc.ioctl(deviceFd, VFIO_DEVICE_GET_IRQ_INFO, info), "its interrupts");
            available = Memory.getInt(info + VFIO_IRQ_INFO_COUNT_OFFSET);
        }
        vectorFds = new int[Math.min(MAX_VECTORS, Math.min(count, available))];
        for (int i = 0; i < vectorFds.length; i++) {
            vectorFds[i] = eventFd();
        }
        if (vectorFds.length > 0) {
            domain.check(setInterrupts(VFIO_PCI_MSIX_IRQ_INDEX, vectorFds), "interrupts");
        }
    }

    /** The eventfd of a vector, or -1. */
    public int interruptFd(int vector) {
        return vector < vectorFds.length ? vectorFds[vector] : -1;
    }

    private int eventFd() throws VfioException {
        return domain.check(Libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "an eventfd");
    }

    private int setInterrupts(int index, int[] fds) {
        try (Arena arena = Arena.ofConfined()) {
            int bytes = VFIO_IRQ_SET_DATA_OFFSET + fds.length * Integer.BYTES;
            long set = arena.allocate(bytes, 8).address();
            Memory.putInt(set, bytes);
            Memory.putInt(set + VFIO_IRQ_SET_FLAGS_OFFSET, VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER);
            Memory.putInt(set + VFIO_IRQ_SET_INDEX_OFFSET, index);
            Memory.putInt(set + VFIO_IRQ_SET_START_OFFSET, 0);
            Memory.putInt(set + VFIO_IRQ_SET_COUNT_OFFSET, fds.length);
            for (int i = 0; i < fds.length; i++) {
                Memory.putInt(set + VFIO_IRQ_SET_DATA_OFFSET + (long) i * Integer.BYTES, fds[i]);
            }
            return Libc.ioctl(deviceFd, VFIO_DEVICE_SET_IRQS, set);
        }
    }

    @Override
    public synchronized long map(long address, long lengthBytes) {
        return domain.map(address, lengthBytes);
    }

    @Override
    public synchronized void unmap(long iova, long lengthBytes) {
        int result = domain.unmap(iova, lengthBytes);
        if (result < 0) {
            throw new IllegalStateException(
                    name + ": unmapping IOVA 0x" + Long.toHexString(iova) + ": " + Errno.name(result));
        }
    }

    @Override
    public long maxMapBytes() {
        return domain.maxMapBytes();
    }

    @Override
    public String remedy(int negativeErrno) {
        return domain.remedy(negativeErrno);
    }

    /** Gives the device back; the kernel resets it. Nothing may use its registers or what it maps any more. */
    @Override
    public synchronized void close() {
        if (barAddress != 0) {
            Libc.munmap(barAddress, barBytes);
            barAddress = 0;
        }
        for (int fd : vectorFds) {
            Libc.close(fd);
        }
        vectorFds = new int[0];
        if (removalFd >= 0) {
            Libc.close(removalFd);
            removalFd = -1;
        }
        domain.close();
    }
}
