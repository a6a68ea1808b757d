package io.vhostfs.vfio;

import static io.vhostfs.vfio.VfioConstants.*;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import io.vhostfs.vfio.VfioException.Kind;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Which of the kernel's two ways to a device is taken, and that the calls of each are in order; no kernel answers here. */
class DmaDomainTest {
    private static final String ADDRESS = "0000:05:00.0";
    private static final String DEVICE = "/dev/vfio/devices/vfio3";
    private static final int ADDRESS_SPACE = 77;

    @TempDir
    private Path root;

    private final FakeKernel kernel = new FakeKernel();

    /** VFIO as linux/vfio.h and linux/iommufd.h tell of it. */
    private static final class FakeKernel implements Kernel {
        final Map<String, Integer> answers = new HashMap<>();
        final Map<Integer, String> open = new TreeMap<>();
        final Map<Long, Long> mapped = new TreeMap<>();
        final List<String> calls = new ArrayList<>();
        int refused;
        private int nextFd = 10;

        @Override
        public int open(String path) {
            int answer = answers.getOrDefault(path, 0);
            if (answer == 0) {
                answer = nextFd++;
                open.put(answer, path);
            }
            return answer;
        }

        @Override
        public int ioctl(int fd, int request, long argument) {
            if (request == refused) {
                return -Errno.EINVAL;
            }
            String file = open.get(fd);
            switch (request) {
                case VFIO_DEVICE_BIND_IOMMUFD -> {
                    expect(DEVICE, file);
                    expect("/dev/iommu", open.get(Memory.getInt(argument + VFIO_DEVICE_BIND_IOMMUFD_IOMMUFD_OFFSET)));
                    calls.add("bind");
                }
                case IOMMU_IOAS_ALLOC -> {
                    expect("/dev/iommu", file);
                    Memory.putInt(argument + IOMMU_IOAS_ALLOC_OUT_IOAS_ID_OFFSET, ADDRESS_SPACE);
                    calls.add("alloc");
                }
                case VFIO_DEVICE_ATTACH_IOMMUFD_PT -> {
                    expect(DEVICE, file);
                    assertEquals(ADDRESS_SPACE, Memory.getInt(argument + VFIO_DEVICE_ATTACH_IOMMUFD_PT_PT_ID_OFFSET));
                    calls.add("attach");
                }
                case IOMMU_IOAS_IOVA_RANGES -> {
                    long ranges = Memory.getLong(argument + IOMMU_IOAS_IOVA_RANGES_ALLOWED_IOVAS_OFFSET);
                    assertTrue(Memory.getInt(argument + IOMMU_IOAS_IOVA_RANGES_NUM_IOVAS_OFFSET) >= 2);
                    Memory.putLong(ranges, 0);
                    Memory.putLong(ranges + 8, 0xfedf_ffffL);
                    Memory.putLong(ranges + 16, 0xfef0_0000L);
                    Memory.putLong(ranges + 24, (1L << 39) - 1);
                    Memory.putInt(argument + IOMMU_IOAS_IOVA_RANGES_NUM_IOVAS_OFFSET, 2);
                }
                case IOMMU_IOAS_MAP -> {
                    assertEquals(
                            IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE,
                            Memory.getInt(argument + IOMMU_IOAS_MAP_FLAGS_OFFSET));
                    assertEquals(ADDRESS_SPACE, Memory.getInt(argument + IOMMU_IOAS_MAP_IOAS_ID_OFFSET));
                    mapped.put(
                            Memory.getLong(argument + IOMMU_IOAS_MAP_IOVA_OFFSET),
                            Memory.getLong(argument + IOMMU_IOAS_MAP_USER_VA_OFFSET));
                }
                case IOMMU_IOAS_UNMAP -> {
                    assertEquals(0x1000, Memory.getLong(argument + IOMMU_IOAS_UNMAP_LENGTH_OFFSET));
                    if (mapped.remove(Memory.getLong(argument + IOMMU_IOAS_UNMAP_IOVA_OFFSET)) == null) {
                        return -Errno.ENOENT;
                    }
                }
                case VFIO_GET_API_VERSION -> {
                    return VFIO_API_VERSION;
                }
                case VFIO_CHECK_EXTENSION -> {
                    return argument == VFIO_TYPE1v2_IOMMU ? 1 : 0;
                }
                case VFIO_GROUP_GET_STATUS ->
                    Memory.putInt(argument + VFIO_GROUP_STATUS_FLAGS_OFFSET, VFIO_GROUP_FLAGS_VIABLE);
                case VFIO_GROUP_SET_CONTAINER -> calls.add("join");
                case VFIO_SET_IOMMU -> calls.add("iommu");
                case VFIO_GROUP_GET_DEVICE_FD -> {
                    expect("/dev/vfio/9", file);
                    calls.add("device");
                    return open("the device");
                }
                default -> throw new AssertionError("ioctl 0x" + Integer.toHexString(request));
            }
            return 0;
        }

        private static void expect(String wanted, @Nullable String file) {
            assertEquals(wanted, file);
        }

        @Override
        public void close(int fd) {
            assertTrue(open.remove(fd) != null, "closes what is not open");
        }
    }

    @BeforeEach
    void makeADevice() throws Exception {
        Path directory = root.resolve("sys/bus/pci/devices/" + ADDRESS);
        Files.createDirectories(directory.resolve("vfio-dev/vfio3"));
        Path group = Files.createDirectories(root.resolve("sys/kernel/iommu_groups/9"));
        Files.createSymbolicLink(directory.resolve("iommu_group"), group);
    }

    private DmaDomain open() throws VfioException {
        return DmaDomain.open(new PciDevice(root, ADDRESS), kernel);
    }

    @Test
    void aDeviceWithAFileOfItsOwnIsTakenByThatAndAttachedBeforeAnythingIsMapped() throws Exception {
        DmaDomain domain = assertInstanceOf(IommufdDomain.class, open());
        assertEquals(List.of("bind", "alloc", "attach"), kernel.calls);
        assertEquals(DEVICE, kernel.open.get(domain.deviceFd));
        assertEquals(
                List.of(
                        new IovaAllocator.Range(0, 0xfedf_ffffL),
                        new IovaAllocator.Range(0xfef0_0000L, (1L << 39) - 1)),
                domain.readRanges());
        assertEquals(0, domain.map(0x7000, 0x1000, 0x20_0000));
        assertEquals(Map.of(0x20_0000L, 0x7000L), kernel.mapped);
        assertEquals(0, domain.unmap(0x20_0000, 0x1000));
        assertEquals(-Errno.ENOENT, domain.unmap(0x20_0000, 0x1000));
        domain.close();
        domain.close();
        assertEquals(Map.of(), kernel.open);
    }

    private void expectContainer() throws Exception {
        DmaDomain domain = assertInstanceOf(ContainerDomain.class, open());
        assertEquals(List.of("join", "iommu", "device"), kernel.calls);
        assertEquals("the device", kernel.open.get(domain.deviceFd));
        assertEquals(3, kernel.open.size(), kernel.open.toString());
        domain.close();
        assertEquals(Map.of(), kernel.open);
    }

    @Test
    void aKernelWithoutSuchFilesHasAContainer() throws Exception {
        Files.delete(root.resolve("sys/bus/pci/devices/" + ADDRESS + "/vfio-dev/vfio3"));
        expectContainer();
    }

    @Test
    void withoutTheIommusFileThereIsAContainer() throws Exception {
        kernel.answers.put("/dev/iommu", -Errno.ENOENT);
        expectContainer();
    }

    @Test
    void whoMayNotOpenTheDevicesFileMayHaveItsGroup() throws Exception {
        kernel.answers.put(DEVICE, -Errno.EACCES);
        expectContainer();
    }

    @Test
    void aDeviceInUseIsNotTriedTheOtherWay() {
        kernel.answers.put(DEVICE, -Errno.EBUSY);
        VfioException e = assertThrows(VfioException.class, this::open);
        assertEquals(Kind.BUSY, e.kind());
        assertEquals(Map.of(), kernel.open);
    }

    @Test
    void whatIsRefusedHalfWayIsGivenBack() {
        for (int request : List.of(VFIO_DEVICE_BIND_IOMMUFD, IOMMU_IOAS_ALLOC, VFIO_DEVICE_ATTACH_IOMMUFD_PT)) {
            kernel.refused = request;
            VfioException e = assertThrows(VfioException.class, this::open);
            assertTrue(e.getMessage().contains("EINVAL"), e.getMessage());
            assertEquals(Map.of(), kernel.open);
        }
    }

    @Test
    void aGroupThatVfioMadeUpWithoutAnIommuIsRefused() throws Exception {
        Path directory = root.resolve("sys/bus/pci/devices/" + ADDRESS);
        Path driver = Files.createDirectories(root.resolve("sys/bus/pci/drivers/vfio-pci"));
        Files.createSymbolicLink(directory.resolve("driver"), driver);
        Files.writeString(root.resolve("sys/kernel/iommu_groups/9/name"), "vfio-noiommu\n");
        VfioException e = assertThrows(VfioException.class, () -> VfioDevice.open(new PciDevice(root, ADDRESS)));
        assertEquals(Kind.UNSUPPORTED, e.kind());
        assertTrue(e.getMessage().contains("unsafe mode"), e.getMessage());
    }
}
