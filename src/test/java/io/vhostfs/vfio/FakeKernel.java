package io.vhostfs.vfio;

import static io.vhostfs.vfio.VfioConstants.*;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.vhostfs.memory.Memory;
import io.vhostfs.os.Errno;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/** VFIO as linux/vfio.h and linux/iommufd.h tell of it. */
final class FakeKernel implements Kernel {
    final Map<String, Integer> answers = new HashMap<>();
    final Map<Integer, String> open = new TreeMap<>();
    final Map<Long, Long> mapped = new TreeMap<>();
    final List<String> calls = new ArrayList<>();
    int refused;

    /** Whether this process may see page frame numbers, and whether hugepages hold its memory. */
    boolean showsFrames = true;

    boolean hugepages = true;
    int lockResult;

    /** What mapping through a container ends with. */
    int mapResult;

    /** The one that containers can have. */
    int iommu = VFIO_TYPE1v2_IOMMU;

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
    public int openReadOnly(String path) {
        return open(path);
    }

    /** Where page {@code number} of the process is: hugepages lie in falling order, other pages anywhere. */
    long frame(long number) {
        long inHugepage = number & 511;
        return ((1L << 30) - (number >> 9 & 0xffff)) * 512 + (hugepages ? inHugepage : inHugepage * 7 & 511);
    }

    @Override
    public long pread(int fd, long address, long lengthBytes, long offset) {
        boolean frames = NoIommuDomain.PAGEMAP.equals(open.get(fd));
        expect(frames ? NoIommuDomain.PAGEMAP : NoIommuDomain.KPAGEFLAGS, open.get(fd));
        for (long i = 0; i < lengthBytes; i += Long.BYTES) {
            long number = (offset + i) / Long.BYTES;
            long entry = frames ? NoIommuDomain.PAGEMAP_PRESENT | (showsFrames ? frame(number) : 0) : flags(number);
            Memory.putLong(address + i, entry);
        }
        return lengthBytes;
    }

    private long flags(long frame) {
        assertTrue(frame > 1L << 38, "no frame that was shown: " + frame);
        return hugepages ? NoIommuDomain.KPF_HUGE : 0;
    }

    @Override
    public int mlock(long address, long lengthBytes) {
        calls.add("lock");
        return lockResult;
    }

    @Override
    public int ioctl(int fd, int request, long argument) {
        if (request == refused) {
            return -Errno.EINVAL;
        }
        String file = open.get(fd);
        switch (request) {
            case VFIO_DEVICE_BIND_IOMMUFD -> {
                expect(DmaDomainTest.DEVICE, file);
                expect("/dev/iommu", open.get(Memory.getInt(argument + VFIO_DEVICE_BIND_IOMMUFD_IOMMUFD_OFFSET)));
                calls.add("bind");
            }
            case IOMMU_IOAS_ALLOC -> {
                expect("/dev/iommu", file);
                Memory.putInt(argument + IOMMU_IOAS_ALLOC_OUT_IOAS_ID_OFFSET, DmaDomainTest.ADDRESS_SPACE);
                calls.add("alloc");
            }
            case VFIO_DEVICE_ATTACH_IOMMUFD_PT -> {
                expect(DmaDomainTest.DEVICE, file);
                assertEquals(
                        DmaDomainTest.ADDRESS_SPACE,
                        Memory.getInt(argument + VFIO_DEVICE_ATTACH_IOMMUFD_PT_PT_ID_OFFSET));
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
                assertEquals(DmaDomainTest.ADDRESS_SPACE, Memory.getInt(argument + IOMMU_IOAS_MAP_IOAS_ID_OFFSET));
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
            case VFIO_IOMMU_GET_INFO -> expect("/dev/vfio/vfio", file);
            case VFIO_IOMMU_MAP_DMA -> {
                expect("/dev/vfio/vfio", file);
                if (mapResult != 0) {
                    return mapResult;
                }
                assertEquals(
                        VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
                        Memory.getInt(argument + VFIO_IOMMU_TYPE1_DMA_MAP_FLAGS_OFFSET));
                mapped.put(
                        Memory.getLong(argument + VFIO_IOMMU_TYPE1_DMA_MAP_IOVA_OFFSET),
                        Memory.getLong(argument + VFIO_IOMMU_TYPE1_DMA_MAP_VADDR_OFFSET));
            }
            case VFIO_IOMMU_UNMAP_DMA -> {
                expect("/dev/vfio/vfio", file);
                mapped.remove(Memory.getLong(argument + VFIO_IOMMU_TYPE1_DMA_UNMAP_IOVA_OFFSET));
            }
            case VFIO_GET_API_VERSION -> {
                return VFIO_API_VERSION;
            }
            case VFIO_CHECK_EXTENSION -> {
                return argument == iommu ? 1 : 0;
            }
            case VFIO_GROUP_GET_STATUS ->
                Memory.putInt(argument + VFIO_GROUP_STATUS_FLAGS_OFFSET, VFIO_GROUP_FLAGS_VIABLE);
            case VFIO_GROUP_SET_CONTAINER -> calls.add("join");
            case VFIO_SET_IOMMU -> {
                assertEquals(iommu, argument);
                calls.add("iommu");
            }
            case VFIO_GROUP_GET_DEVICE_FD -> {
                expect(iommu == VFIO_NOIOMMU_IOMMU ? "/dev/vfio/noiommu-9" : "/dev/vfio/9", file);
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
